/*
 * Inputs that differ a little from a given one, or much: one argument or one element is another one.
 *
 * Part of `execute.cjs`. They follow from the given input alone, so that two processes try the same ones. The same as
 * `variations.py`, for JavaScript's kinds of data.
 */
'use strict';

const { readValue, writeValue } = parts.values;
const [MOST, MOST_PLACES, SCALES] = [16, 8, 10];
const SIMPLE = ['int', 'float', 'bigint', 'str', 'bytes', 'octets'];
const encode = JSON.stringify.bind(JSON);

/* Paths to values that can be altered: numbers and texts first, then lists of them. */
function placesOf(words) {
  const [simple, lists, pending] = [[], [], words.map((one, at) => [one, [at]])];
  while (pending.length) {
    const [[kind, inner], path] = pending.shift();
    if (SIMPLE.includes(kind)) simple.push(path);
    else if (kind === 'list') {
      if (inner.length) lists.push(path);
      inner.forEach((one, at) => pending.push([one, [...path, 1, at]]));
    } else if (kind === 'dict') inner.forEach((pair, at) => pending.push([pair[1], [...path, 1, at, 1]]));
  }
  return [...simple, ...lists].slice(0, MOST_PLACES);
}

const at = (written, place) => place.reduce((one, index) => one[index], written);
const replaced = (written, [first, ...rest], value) => written.map((one, index) => {
  if (index !== first) return one;
  return rest.length ? replaced(one, rest, value) : value;
});

function* otherNumbers(value) {
  if (typeof value === 'bigint') {
    yield* [value + 1n, value * 2n + 1n, value - 1n, value * 10n, value + 7n, value / 2n, value + 100n, -value - 2n];
    return;
  }
  if (!Number.isFinite(value)) return;
  const half = Number.isInteger(value) ? Math.floor(value / 2) : value / 2;
  yield* [value + 1, value * 2 + 1, value - 1, value * 10, value + 7, half];
  yield* [value + 100, -value - 2, value * 1000 + 3, value + 12];
}

const nextLetter = (letter) => ({ 9: '0', z: 'a', Z: 'A' })[letter] ?? String.fromCharCode(letter.charCodeAt(0) + 1);

/* Texts with another letter or digit, a longer one and a shorter one. */
function otherTexts(text) {
  const letters = [...text.matchAll(/[a-z0-9]/gi)].map((one) => one.index);
  const middle = Math.floor(letters.length / 2);
  const chosen = new Set([letters[middle], letters[letters.length - 1], letters[0], letters[1]].filter((one) => one >= 0));
  const altered = [...chosen].map((one) => text.slice(0, one) + nextLetter(text[one]) + text.slice(one + 1));
  return [
    ...altered.slice(0, 1), `${text}n7`, ...altered.slice(1, 2), text.slice(0, -1), ...altered.slice(2), `${text} ${text}`,
    `r${text}`,
  ];
}

/* Other values of the same kind, written. */
function alternatives([kind, inner]) {
  if (kind === 'list') return [inner.slice(0, -1), [...inner, inner[inner.length - 1]], [...inner].reverse()].map((one) => [kind, one]);
  const value = readValue([kind, inner]);
  if (kind === 'str') return otherTexts(value).map((one) => writeValue(one));
  if (typeof value === 'object') {
    return otherTexts(Buffer.from(value).toString('latin1')).map((one) => [kind, Buffer.from(one, 'latin1').toString('hex')]);
  }
  return [...otherNumbers(value)].map((one) => writeValue(one));
}

/* Arguments like some, each written as those are: nearer and farther ones in turn, from place to place. */
module.exports = function vary(words) {
  const others = placesOf(words).map((place) => [place, alternatives(at(words, place))]);
  const [known, found] = [new Set([encode(words)]), []];
  for (let turn = 0; turn < SCALES; turn += 1) {
    for (const [place, values] of others) {
      const made = turn < values.length ? replaced(words, place, values[turn]) : words;
      const text = encode(made);
      if (!known.has(text) && found.length < MOST) {
        known.add(text);
        found.push(made);
      }
    }
  }
  return found;
};
