/*
 * Execution of JavaScript tests in a plain process, and in one that looks like a runner's, for comparison.
 *
 * Runs inside the sandbox. Both processes do the same; they differ in what code under test could tell them apart by.
 * Results are lines of JSON, as those of the Python script beside this one.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const Module = require('node:module');
const { pathToFileURL } = require('node:url');

const told = 'ORDER';
const order = JSON.parse(fs.readFileSync(told, 'utf8'));
for (const file of [told, __filename]) fs.unlinkSync(file);
process.chdir(order.daemon ? '/' : order.root);
const write = fs.writeSync.bind(fs);
const out = fs.openSync(order.out, 'a');
const encode = JSON.stringify.bind(JSON);
const tell = (what) => write(out, `${encode(what)}\n`);
const SECONDS = 20;
const LONGER = 3;  // for a sealed test in the plain process, which may be slower
const LATER = 4;  // the round of repetition before which time passes, and before what fails there is tried again
const PAUSES = 2;  // further times at most that this is waited for; otherwise clocks alone show it
const RUNNERS = ['node:test', 'test', 'mocha', '@jest/globals', 'vitest', 'ava', 'tape', 'tap'];
const IS_MODULE = /^\s*import\b[^(]/m;
const parts = { bring: (url) => import(url), tell, wait: globalThis.setTimeout.bind(globalThis) };
for (const [name, text] of order.parts) {
  const made = { exports: {} };
  vm.compileFunction(text, ['module', 'require', 'order', 'parts'], { filename: __filename })(made, require, order, parts);
  parts[name] = made.exports;
}
const { NotHere, avaContext, toolsFor } = parts.runner_tools;
const { tapTest } = parts.tap_context;
const { placed, ageFolders } = parts.places;
const { isMain, look, survive, within } = parts.surroundings;
for (const file of order.files) {
  if (parts.transform.isTyped(file.path)) parts.transform(path.dirname(path.join(order.root, file.path)));
}
if (order.installed) order.changed = parts.compiled(order.changed);
const { check, checkCache, replaced } = parts.library;
const clocks = parts.clocks.real;
const { wait } = parts;
const later = globalThis.clearTimeout.bind(globalThis);

/* Packages that the change asks for may replace what they like. */
for (const name of order.modules) {
  try {
    Module.createRequire(path.join(order.root, 'package.json'))(name);
  } catch {
    continue;
  }
}

parts.library.take();

/* Variables that files of the change ask for and that are not set. */
const asked = new Set();
const changed = order.changed.map((file) => path.join(order.root, file));
const lookUp = Reflect.get.bind(Reflect);
process.env = new Proxy(process.env, {
  get(target, name) {
    const value = lookUp(target, name);
    if (value === undefined && typeof name === 'string' && !asked.has(name)) {
      const caller = String(new Error('').stack).split('\n')[2] ?? '';
      if (changed.some((file) => caller.includes(`${file}:`))) asked.add(name);
    }
    return value;
  },
});

/* A suite's tests and hooks, collected as a runner would. */
function collector(file, given) {
  const top = { name: '', before: [], after: [], beforeEach: [], afterEach: [], parent: null };
  const tests = [];
  const patches = parts.library.patches(file.text);
  const ava = /["']ava["']/.test(file.text);
  const [, tap] = /["'](tape|tap)["']/.exec(file.text) ?? [];
  let suite = top;
  const named = (name) => String(typeof name === 'function' ? name.name : name);
  const describe = (name, ...rest) => {
    const body = rest.filter((one) => typeof one === 'function').pop();
    const outer = suite;
    suite = { name: named(name), before: [], after: [], beforeEach: [], afterEach: [], parent: outer };
    try {
      const made = body && body.call({ timeout() {}, retries() {}, slow() {} });
      if (made && typeof made.then === 'function') throw new NotHere('an asynchronous suite');
    } finally {
      suite = outer;
    }
  };
  const test = (name, ...rest) => {
    const at = rest.findIndex((one) => typeof one === 'function' || typeof one?.exec === 'function');
    const options = rest.find((one) => one && typeof one === 'object') || {};
    const body = typeof name === 'function' && at < 0 ? name : rest[at]?.exec ?? rest[at];
    if (!body || options.skip || options.todo) return;
    const names = [];
    for (let one = suite; one; one = one.parent) if (one.name) names.unshift(one.name);
    const words = ava ? rest.slice(at + 1) : [];
    tests.push({ name: [...names, named(name)].join(' > '), body, suite, file: file.path, patches, ava, tap, words });
  };
  const rowsOf = (rows, values) => {
    if (!rows.raw) return [...rows];
    const names = rows[0].split('|').map((one) => one.trim());
    return Array.from({ length: values.length / names.length }, (_, at) => Object.fromEntries(
      names.map((one, column) => [one, values[at * names.length + column]]),
    ));
  };
  const each = (define, spread) => (rows, ...values) => (name, ...rest) => rowsOf(rows, values).forEach((row, at) => {
    const body = rest.find((one) => typeof one === 'function');
    define(`${named(name)} [${at}]`, () => body(...(spread && Array.isArray(row) ? row : [row])));
  });
  const skip = Object.assign(() => undefined, { each: () => () => undefined });
  for (const define of [describe, test]) {
    Object.assign(define, {
      skip, todo: skip, only: define, fails: skip, failing: skip, each: each(define, true), for: each(define, false),
      concurrent: define, sequential: define, serial: define, skipIf: (is) => (is ? skip : define),
      runIf: (is) => (is ? define : skip),
    });
  }
  const macro = (body) => (typeof body === 'function' ? { exec: body } : body);
  Object.assign(test, { describe, it: test, test, suite: describe, macro });
  const hooks = {};
  for (const [name, alias] of [['before', 'beforeAll'], ['after', 'afterAll'], ['beforeEach'], ['afterEach']]) {
    const hook = (...words) => suite[name].push(words.find((one) => typeof one === 'function'));
    hook.always = hook;
    hooks[name] = hook;
    if (alias) hooks[alias] = hook;
  }
  Object.assign(test, hooks, { onFinish() {}, onFailure() {} });
  Object.defineProperty(test, 'mock', { get: mocks, enumerable: true });
  const tools = { ...given, describe, suite: describe, context: describe, it: test, specify: test, test, ...hooks };
  Object.defineProperty(tools, 'mock', { get: mocks, enumerable: false });
  return { tests, tools };
}

/* Names in braces of an import as names in braces of a declaration, on as many lines. */
function bound(names) {
  const values = names.split(',').map((one) => one.trim()).filter((one) => one && !/^type\s/.test(one));
  return `{${values.join(', ').replace(/\s+as\s+/g, ': ')}}${'\n'.repeat(names.split('\n').length - 1)}`;
}

/* Finds where a source declares a name for itself, at the top. */
const declared = (name) => new RegExp(
  `^(?:export\\s+)?(?:(?:const|let|var|class|(?:async\\s+)?function)\\s+${name}\\b|(?:const|let|var)\\s*\\{[^}]*\\b${name}\\b[^}]*\\}`
  + `|(?:const|let|var)\\s[^;]*?,\\s*${name}\\s*=|import\\b[^;'"]*\\b${name}\\b[^;'"]*\\bfrom\\b)`, 'm');

/* What a source imports of a runner, taken from memory instead; names that are global under a runner stand before it. */
function served(text, symbol) {
  const from = `globalThis[Symbol.for('${symbol}')]`;
  const runner = `["'](?:${RUNNERS.join('|')})["']`;
  let left = text
    .replace(new RegExp(`import\\s+type\\s[^;'"]*from\\s*${runner};?`, 'g'), '')
    .replace(new RegExp(`import\\s*\\{([^}]*)\\}\\s*from\\s*${runner};?`, 'g'), (_, names) => (
      `const ${bound(names)} = ${from};`))
    .replace(new RegExp(`import\\s+(\\w+)\\s*,\\s*\\{([^}]*)\\}\\s*from\\s*${runner};?`, 'g'), (_, name, names) => (
      `const ${name} = ${from}.test, ${bound(names)} = ${from};`))
    .replace(new RegExp(`import\\s+(?:\\*\\s+as\\s+)?(\\w+)\\s+from\\s*${runner};?`, 'g'), `const $1 = ${from}.test;`)
    .replace(new RegExp(`require\\(${runner}\\)`, 'g'), `${from}.test`);
  const missing = ['describe', 'it', 'test', 'before', 'after', 'beforeAll', 'afterAll', 'beforeEach', 'afterEach', 'expect',
    'suite', 'context', 'specify', 'jest', 'vi'].filter((name) => new RegExp(`(?<![.\\w])${name}\\b`).test(left)
      && !declared(name).test(left));
  if (missing.length) left = `const {${missing.join(', ')}} = ${from}; ${left}`;
  return left;
}

/* Modules beside tests may ask for a runner, too; a runner that finds itself started by nobody ends the process. */
let current;
const folders = new Set(order.files.map((file) => path.dirname(path.join(order.root, file.path))));
const loadModule = Module._load;
Module._load = (request, parent, ...rest) => {
  const place = path.dirname(parent?.filename ?? '/');
  const isBeside = place !== order.root && [...folders].some((one) => one !== order.root && `${place}/`.startsWith(`${one}/`));
  if (!current || !isBeside || !['mocha', '@jest/globals', 'vitest', 'ava', 'tape', 'tap'].includes(request)) {
    return loadModule(request, parent, ...rest);
  }
  return Object.assign(Object.create(current), { default: current.test, __esModule: true });
};

async function load(file, toolsOf, again) {
  const { tests, tools } = collector(file, toolsOf(file.text));
  const symbol = `tools of ${file.path}`;
  if (order.watched) Object.assign(globalThis, tools);
  Object.defineProperty(globalThis, Symbol.for(symbol), { value: tools, configurable: true });
  const isNative = !parts.transform.isHooked() && IS_MODULE.test(file.text);
  const noting = again && isNative ? await again.changed(file.text, path.dirname(path.join(order.root, file.path))) : file;
  const { place, clear } = placed(file, served(noting.text, symbol));
  if (again) again.begin(place);
  parts.clocks.places.add(place);
  look(file.path);
  const { exit } = process;
  try {
    current = tools;
    if (again) delete require.cache[place];
    process.exit = () => { throw new NotHere('it ends the process'); };
    let made;
    try {
      made = isMain(file) ? Module._load(place, null, true) : Module.createRequire(place)(place);
    } catch (error) {
      if (error.code !== 'ERR_REQUIRE_ESM' && !/Cannot use import statement|Unexpected token 'export'/.test(error.message)) {
        throw error;
      }
      made = await import(`${pathToFileURL(place).href}${again ? '?' : ''}`);
    }
    await made;
  } finally {
    current = undefined;
    process.exit = exit;
    delete globalThis[Symbol.for(symbol)];
    clear();
    if (noting !== file) noting.clear();
  }
  return tests;
}

/* Calls a test from code of a runner's file, or of a file that says nothing. */
const caller = vm.runInThisContext('((body, self, given) => body.apply(self, given))', {
  filename: order.watched ? path.join(order.fixed, 'node_modules/mocha/lib/runnable.js') : path.resolve(order.root, order.entry),
});

function limited(work, seconds = SECONDS) {
  let timer;
  const up = new Promise((_, reject) => {
    timer = wait(() => reject(new Error('it took too long')), seconds * 1000);
  });
  return Promise.race([work, up]).finally(() => later(timer));
}

async function call(body, t, words = [], ends = []) {
  if (t) return caller(body, undefined, [t, ...words]);
  const self = { timeout: () => self, retries: () => self, slow: () => self, skip() { throw new NotHere('it skips'); } };
  const context = {
    name: 'test', assert: require('node:assert'), diagnostic() {}, plan() {}, skip() { throw new NotHere('it skips'); },
    test: async (_, ...rest) => call(rest.pop(), undefined, [], ends), after: (end) => ends.push(end), get mock() { return mocks(); },
  };
  if (body.length > 0) {
    if (/^(?:async\s*)?(?:function\s*\w*\s*)?\(?\s*(?:t|ctx|context|\{[^}]*\})\s*[,)=]/.test(String(body))) {
      return caller(body, self, [context]);
    }
    return new Promise((resolve, reject) => {
      caller(body, self, [(error) => (error ? reject(error) : resolve())]);
    });
  }
  return caller(body, self, []);
}

/* Node's own mocks, loaded for a test that asks for them. */
function mocks() {
  mocks.used = require('node:test').mock;
  return mocks.used;
}

const begun = new Set();
async function attempt(test) {
  const suites = [];
  for (let one = test.suite; one; one = one.parent) suites.unshift(one);
  const ends = [];
  const t = test.ava ? avaContext({}, ends) : undefined;
  try {
    for (const suite of suites) {
      if (!begun.has(suite)) {
        begun.add(suite);
        for (const hook of suite.before) await limited(call(hook, t));
      }
    }
    for (const suite of suites) for (const hook of suite.beforeEach) await limited(call(hook, t));
    const isLonger = !order.watched && !order.own.includes(test.file);
    const work = test.tap ? tapTest(test.body, caller, test.tap) : call(test.body, t, test.words, ends);
    await limited(work, SECONDS * (isLonger ? LONGER : 1));
    return ['passed', ''];
  } catch (error) {
    if (error instanceof NotHere) return ['not-here', error.message];
    const judges = isJudgement(error) || isRaisedInChange(error);
    return ['failed', String((error && error.message) || error).slice(0, 500), judges];
  } finally {
    for (const suite of suites.reverse()) {
      for (const hook of suite.afterEach) await limited(call(hook, t)).catch(() => undefined);
    }
    for (const end of ends.reverse()) await limited(call(end)).catch(() => undefined);
    if (mocks.used) mocks.used.restoreAll();
  }
}

async function repeat(tests) {
  let spent = 0;
  let pauses = 0;
  const pause = async () => {
    parts.clocks.passOn();
    const gap = pauses > PAUSES ? 0 : order.gap * 1000;
    await new Promise((resolve) => { wait(resolve, gap); });
    pauses += 1;
  };
  const going = [...tests];
  const used = new Map();
  const budget = order.budget * 1e6;
  let share = budget / Math.max(1, tests.length);
  for (let round = 2; round < order.rounds && going.length; round += 1) {
    if (round === LATER) await pause();
    const isFirst = round <= LATER;
    if (round === LATER + 1) spent = 0; // whatever slow tests took
    if (!isFirst && going.every((test) => used.get(test) > share)) share *= 2; // time is left
    if (spent > budget && !isFirst) return;
    let failing = new Map();
    for (const test of [...going]) {
      if (used.get(test) > share && (spent > budget || !isFirst)) continue;
      const [start, before] = [clocks.now(), clocks.used()];
      const [outcome, message] = await attempt(test);
      const { user, system } = clocks.used(before);
      const cost = Math.max(user + system, ((clocks.now() - start) * 1000) / order.patience);
      spent += cost;
      used.set(test, (used.get(test) ?? 0) + cost);
      if (outcome === 'passed') continue;
      going.splice(going.indexOf(test), 1);
      failing.set(test, message);
      for (let again = 0; isFirst && again < 2; again += 1) {
        if (round === LATER) await pause();
        if ((await attempt(test))[0] !== 'failed') failing.delete(test);
      }
    }
    if (!isFirst) failing = await failingInOrder(failing, tests);
    for (const [test, message] of round > 2 ? failing : []) {
      if (!/EMFILE|heap|call stack/.test(message)) tell({ test: test.name, file: test.file, outcome: 'decayed', message, round });
    }
  }
}

/* Tests that fail among all others as well, twice: one may need what another leaves, which has had its time. */
async function failingInOrder(failing, tests) {
  const left = new Map(failing);
  for (let again = 0; left.size && again < 2; again += 1) {
    for (const test of tests) {
      const [outcome] = await attempt(test);
      if (outcome !== 'failed') left.delete(test);
    }
  }
  return left;
}

/* True if a test says by an error that what it got is wrong. */
function isJudgement(error) {
  return error?.code === 'ERR_ASSERTION' || error?.matcherResult !== undefined || /Assertion/.test(error?.name);
}

/* True if a file of the change raised an error: the first one of the project that its stack names. */
function isRaisedInChange(error) {
  const own = String(error?.stack).split('\n').filter((line) => line.includes(`${order.root}/`));
  const first = own.find((line) => !line.replaceAll(order.root, '').includes('/node_modules/') && !line.includes(__filename));
  const [thrower] = String(error?.stack).split('\n').filter((line) => /^ {4}at /.test(line));
  const isOurs = changed.some((file) => thrower?.includes(file)); // no loader of modules threw it
  const isAbsent = !isOurs && ['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND', 'ERR_REQUIRE_ESM'].includes(error?.code);
  return !isAbsent && !(error instanceof SyntaxError) && changed.some((file) => Boolean(first?.includes(file)));
}

async function main() {
  survive();
  process.argv = [process.argv[0], path.resolve(order.root, order.entry), ...(order.daemon ? ['serve'] : [])];
  if (order.watched) {
    require.main.filename = path.join(order.fixed, 'test/mocha.test.js');
    require.main.path = path.dirname(require.main.filename);
  }
  const tests = [];
  const toolsOf = await toolsFor();
  for (const file of order.files) {
    tell({ running: '', file: file.path });
    try {
      tests.push(...await load(file, toolsOf));
      tell({ file: file.path, outcome: 'loaded' });
    } catch (error) {
      const message = String((error && error.message) || error).slice(0, 500);
      tell({ file: file.path, outcome: 'not-loaded', message, by_change: isRaisedInChange(error) });
    }
  }
  check(tests.some((test) => test.patches));
  checkCache();
  await new Promise((resolve) => { wait(resolve, order.age * 1000); });
  parts.clocks.grow();
  if (!order.watched) ageFolders(new Set([order.root, ...changed.map((file) => path.dirname(file))]));
  const passed = [];
  let ends;
  for (const test of tests) {
    if (order.own.includes(test.file)) {
      ends = ends || clocks.now() + order.limit * 1000;
      if (clocks.now() > ends) continue;
    }
    tell({ running: test.name, file: test.file });
    look(test.file);
    const [outcome, message, judges] = await within(() => attempt(test));
    check(test.patches);
    tell({ test: test.name, file: test.file, outcome, message, judges });
    if (outcome === 'passed') passed.push(test);
  }
  for (const [name, by] of [...replaced].sort()) tell({ replaced: name, by });
  for (const name of asked) tell({ asked: name });
  tell({ ended: true });
  if (!order.watched) await repeat(passed);
  if (order.calls) await parts.calls.tryCalls(passed, (file, again) => load(file, toolsOf, again), attempt);
  process.exit(0);
}

main();
