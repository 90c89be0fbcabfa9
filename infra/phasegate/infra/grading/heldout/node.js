(() => {
  let SEED = 0;
  const source = (name) => {
    let state = SEED >>> 0;
    for (const letter of String(name)) { state = Math.imul(state ^ letter.codePointAt(0), 2654435761) >>> 0; }
    const random = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const below = (bound) => Math.floor(random() * bound);
    return { random, below, choice: (values) => values[below(values.length)] };
  };
  const generator = (draw) => ({
    draw,
    map: (change) => generator((chance) => change(draw(chance))),
    filter: (fits) => generator((chance) => {
      for (let tries = 0; tries < 1000; tries += 1) {
        const drawn = draw(chance);
        if (fits(drawn)) { return drawn; }
      }
      throw new Error('hardly any input fits the filter');
    }),
  });
  class Unfit extends Error {}
  const assume = (fits) => { if (!fits) { throw new Unfit(); } };
  const given = (...words) => {
    const prop = words.pop();
    const { name } = prop;
    const call = Function.prototype.apply.bind(prop, undefined);
    const outcome = (drawn) => new Promise((done) => {
      Promise.resolve(drawn).then(call).then(() => { done('held'); }, (error) => { done(error instanceof Unfit ? 'unfit' : 'wrong'); });
    });
    return async () => {
      const chance = source(name || words.length);
      let held = true;
      let tried = 0;
      for (let tries = 0; tries < 1000 && tried < 100 && held; tries += 1) {
        const told = await outcome(words.map((one) => one.draw(chance)));
        held = told !== 'wrong';
        tried += told === 'held' ? 1 : 0;
      }
      if (!held) { throw new Error('the property does not hold for a held-out input'); }
      if (!tried) { throw new Error('the property was tried with no input: none fits'); }
    };
  };
  const edges = (values, draw) => generator((chance) => (
    values.length && chance.random() < 0.2 ? chance.choice(values) : draw(chance)
  ));
  const just = (value) => generator(() => value);
  const none = () => just(null);
  const sampled_from = (values) => generator((chance) => chance.choice([...values]));
  const booleans = () => sampled_from([true, false]);
  const one_of = (...generators) => generator((chance) => chance.choice(generators).draw(chance));
  const integers = (low = -1000000, high = 1000000) => edges(
    [low, high, 0, 1, -1].filter((one) => one >= low && one <= high),
    (chance) => low + chance.below(chance.random() < 0.3 ? Math.min(100, high - low + 1) : high - low + 1),
  );
  const floats = (low = -1e6, high = 1e6) => edges(
    [low, high, 0, 1, -1, 0.5].filter((one) => one >= low && one <= high),
    (chance) => low + chance.random() * (high - low),
  );
  const LETTERS = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;-_/\\"\'<>&%$\u00e4\u00df\u0130\u6f22\u{1f600}'];
  const characters = (alphabet = LETTERS) => sampled_from(alphabet);
  const lists = (elements, least = 0, most = 10) => generator((chance) => (
    Array.from({ length: least + chance.below(most - least + 1) }, () => elements.draw(chance))
  ));
  const text = (alphabet = LETTERS, least = 0, most = 20) => lists(characters(alphabet), least, most)
    .map((drawn) => drawn.join(''));
  const binary = (least = 0, most = 20) => lists(integers(0, 255), least, most).map((drawn) => Uint8Array.from(drawn));
  const sets = (elements, least = 0, most = 10) => lists(elements, least, most).map((drawn) => new Set(drawn))
    .filter((drawn) => drawn.size >= least);
  const tuples = (...elements) => generator((chance) => elements.map((one) => one.draw(chance)));
  const dictionaries = (keys, values, least = 0, most = 10) => lists(tuples(keys, values), least, most)
    .map((drawn) => Object.fromEntries(drawn));
  const datetimes = () => generator((chance) => new Date(Date.UTC(1900, 0, 1) + chance.below(73000) * 86400000
    + chance.below(86400) * 1000));
  const dates = () => datetimes().map((drawn) => new Date(drawn.getTime() - (drawn.getTime() % 86400000)));
  return { assume, given, just, none, sampled_from, booleans, one_of, integers, floats, characters, text, binary, lists,
    sets, tuples, dictionaries, dates, datetimes };
})();
