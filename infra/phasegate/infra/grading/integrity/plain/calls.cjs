/*
 * Calls that tests make of the project's functions, and what the same functions answer to inputs nearby.
 *
 * Part of `execute.cjs`, after everything else: test files are loaded once more, with functions that note how they are
 * called in the place of those that the project exports. It must not know what an answer means.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const Module = require('node:module');
const { pathToFileURL } = require('node:url');

const { readValue, writeValue } = parts.values;
const vary = parts.variations;
const [exists, write, remove] = [fs.existsSync.bind(fs), fs.writeFileSync.bind(fs), fs.unlinkSync.bind(fs)];
const [MOST_FUNCTIONS, MOST_INPUTS, DEEPEST] = [40, 8, 2];
const [TO_NOTE, TO_CALL, OF_TEST, OF_CALL] = [3000, 4000, 2000, 500]; // milliseconds
const STOPPED = ['stopped'];
const OF_THIS_PROCESS = /0x[0-9a-f]{6,}|\/tmp\//;
const OF_TESTS = /(?:^|\/)(?:tests?|__tests__|specs?)\/|(?:^|[._-])(?:tests?|spec)\.\w+$/;
const IMPORTED = /((?:^|;)[ \t]*(?:import|export)\b[^;'"`]*)(["'])([^"'\n]+)\2/gm;
const HELD = Symbol.for(`part ${clockNow() % 1e6}`);
const encode = JSON.stringify.bind(JSON);
const [apply, get, construct] = [Reflect.apply, Reflect.get, Reflect.construct];
const lookUp = Function.prototype.call.bind(Object.prototype.hasOwnProperty);
const files = order.changed.map((file) => path.join(order.root, file));

function clockNow() { return Math.floor(parts.clocks.real.now()); }

/* True for source of the project that is no test's. */
function isProduct(file) {
  const own = file.startsWith(`${order.root}/`) ? file.slice(order.root.length + 1) : '';
  return own !== '' && !own.includes('node_modules/') && (files.includes(file) || !OF_TESTS.test(own));
}

/* Exports of the project's modules that are loaded, those of the change first: what a function is known by. */
const spaces = new Map();
function functionsOf() {
  const known = new Map();
  const loaded = Object.keys(require.cache).filter(isProduct).map((file) => [file, require.cache[file].exports]);
  const all = [...loaded, ...spaces].sort(([one], [other]) => files.includes(other) - files.includes(one));
  for (const [file, made] of all) for (const [name, value] of exported(made)) if (!known.has(value)) known.set(value, [file, name]);
  return known;
}

function* exported(made) {
  if (typeof made === 'function') yield ['default', made];
  for (const [key, value] of members(made)) {
    if (typeof value === 'function') yield [key, value];
    else for (const [inner, one] of members(value)) if (typeof one === 'function') yield [`${key}.${inner}`, one];
  }
}

/* Names and values of a module or of a plain object; what fails to be read is left out. */
function members(made) {
  if (made === null || !(isSpace(made) || typeof made === 'function')) return [];
  return Object.keys(made).slice(0, 200).flatMap((key) => {
    try {
      return [[key, made[key]]];
    } catch {
      return [];
    }
  });
}

function isSpace(value) {
  if (typeof value !== 'object' || value === null) return false;
  const kind = Object.getPrototypeOf(value);
  return kind === Object.prototype || kind === null;
}

const found = new Map();
const raw = new WeakMap(); // what stands for what

/* A function or module of the project with notes on its calls. */
function noting(kind) {
  let known;
  const made = new WeakMap();
  const wrapped = (value, file, name, owner, deep) => {
    if (typeof value !== 'function' && !(deep < DEEPEST && isSpace(value))) return value;
    if (raw.has(value)) return value;
    if (!made.has(value)) {
      const proxy = new Proxy(value, {
        apply: (target, self, words) => called(target, raw.get(self) ?? self, words, file, name, owner),
        construct: (target, words, by) => construct(target, words, by === proxy ? target : by),
        get: (target, key) => {
          const inner = get(target, key);
          const about = Object.getOwnPropertyDescriptor(target, key);
          const isFixed = about && !about.configurable && !about.writable && !about.get;
          if (typeof key !== 'string' || key === 'prototype' || isFixed || !lookUp(target, key)) return inner;
          return wrapped(inner, file, name ? `${name}.${key}` : key, target, deep + 1);
        },
      });
      raw.set(proxy, value);
      made.set(value, proxy);
    }
    return made.get(value);
  };
  const called = (target, self, words, file, name, owner) => {
    const given = words.map((one) => raw.get(one) ?? one);
    known = known?.has(target) ? known : functionsOf();
    const [home, own] = known.get(target) ?? [file, name || 'default'];
    const end = begun({ target, owner, file: home, name: own }, given);
    try {
      const result = apply(target, self, given);
      end(outcome(result));
      return result;
    } catch (error) {
      end(failure(error));
      throw error;
    }
  };
  const begun = (about, words) => {
    const key = `${about.file}\n${about.name}`;
    let written;
    try {
      written = words.map((one) => writeValue(one));
    } catch {
      return () => undefined;
    }
    const isChanged = files.includes(about.file);
    const beside = [...found.values()].filter((one) => files.includes(one.file) === isChanged).length;
    if (!found.has(key) && beside < MOST_FUNCTIONS) found.set(key, { ...about, inputs: new Map() });
    const inputs = found.get(key)?.inputs;
    const text = encode(written);
    if (!inputs || (!inputs.has(text) && inputs.size >= MOST_INPUTS)) return () => undefined;
    if (!inputs.has(text)) inputs.set(text, { words: written, seen: null, by: new Set() });
    const input = inputs.get(text);
    if (input.by.has(kind)) return () => undefined;
    input.by.add(kind);
    return (seen) => { input.seen = seen; };
  };
  return (value, file) => wrapped(value, file, '', undefined, 0);
}

function outcome(result) {
  try {
    return ['gave', writeValue(result)];
  } catch {
    return ['object', String(result?.constructor?.name ?? typeof result)];
  }
}

function failure(error) {
  return ['raised', String(error?.name ?? typeof error)];
}

/* True for an object that is one value to a loose comparison, and another one to who reads it. */
function isLenient(value) {
  if (value === null || typeof value !== 'object' || value instanceof Date) return false;
  try {
    const said = [1, 2, 3].map(() => primitive(value));
    if (!said.every((one) => Object.is(one, said[0]))) return true;
    const text = `${value}`;
    if (typeof said[0] === 'string') return text !== said[0];
    const isNumber = typeof said[0] === 'number' && text.trim() !== '' && Number.isFinite(Number(text));
    return isNumber && (Number(text) !== said[0] || Number(value) !== said[0]);
  } catch {
    return false;
  }
}

/* An object as loose comparison takes it. */
function primitive(value) {
  const own = value[Symbol.toPrimitive];
  if (typeof own === 'function') return apply(own, value, ['default']);
  const plain = value.valueOf();
  return plain === null || typeof plain !== 'object' ? plain : value.toString();
}

/* Calls a function once, for a short time only. */
const script = new vm.Script(`globalThis[Symbol.for('${Symbol.keyFor(HELD)}')]()`, { filename: path.resolve(order.root, order.entry) });
function answer({ target, owner }, words) {
  let result;
  globalThis[HELD] = () => { result = apply(target, owner, words.map(readValue)); };
  try {
    script.runInThisContext({ timeout: OF_CALL });
  } catch (error) {
    return [error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' ? STOPPED : failure(error), undefined];
  } finally {
    delete globalThis[HELD];
  }
  if (typeof result?.then === 'function') Promise.resolve(result).catch(() => undefined);
  return [outcome(result), result];
}

function isSteady(told) {
  const text = encode(told);
  return told !== STOPPED && !text.includes(order.root) && !OF_THIS_PROCESS.test(text);
}

function inTime(noted, inputs, ends) {
  const told = [];
  for (const words of inputs) {
    const one = clockNow() < ends ? answer(noted, words)[0] : STOPPED;
    if (one === STOPPED) break;
    told.push(one);
  }
  return told;
}

/* Inputs of tests, with what came of each, and of those nearby; what is not the same twice is left out. */
function* answered(noted, ends) {
  const whole = (words) => [null, words, {}];
  for (const { words, seen, by } of noted.inputs.values()) {
    const [told, result] = answer(noted, words);
    const same = encode(told);
    if (same !== encode(seen) || encode(answer(noted, words)[0]) !== same || !isSteady(told)) continue;
    const varied = vary(words);
    const first = inTime(noted, varied, ends);
    const second = inTime(noted, varied.slice(0, first.length), ends);
    const pairs = second.map((one, at) => [whole(varied[at]), one]).filter(([, one], at) => encode(one) === encode(first[at]));
    yield {
      given: whole(words), answer: told, lenient: isLenient(result), by: [...by].sort(),
      varied: pairs.filter(([, one]) => isSteady(one)),
    };
  }
}

/* Has a test's imports of the project's ES modules come from files that hand on functions with notes. */
async function handedOn(file, text, note, folder) {
  const written = [];
  const names = new Map();
  for (const [,, , name] of text.matchAll(IMPORTED)) {
    const place = name.startsWith('.') ? path.resolve(folder, name) : path.isAbsolute(name) ? name : '';
    if (!place || names.has(name) || !exists(place) || !isProduct(place)) continue;
    const space = await parts.bring(pathToFileURL(place).href);
    spaces.set(place, space);
    const holder = `part ${names.size} of ${file}`;
    globalThis[Symbol.for(holder)] = note({ ...space }, place);
    const lines = Object.keys(space).map((key, at) => (
      `const v${at} = globalThis[Symbol.for(${encode(holder)})][${encode(key)}];\nexport { v${at} as ${encode(key)} };\n`));
    const shim = path.join(order.root, `part_${clockNow() % 1e6}${names.size}${written.length}.mjs`);
    write(shim, lines.join(''), { flag: 'wx' });
    written.push(shim);
    names.set(name, shim);
  }
  const moved = text.replace(IMPORTED, (all, before, sign, name) => (names.has(name) ? `${before}${sign}${names.get(name)}${sign}` : all));
  return { text: moved, clear: () => written.forEach((one) => remove(one)) };
}

/* What `require` gives to a test file is noted while this holds. */
let current;
const loadModule = Module._load;
function load(request, parent, ...rest) {
  const made = loadModule(request, parent, ...rest);
  if (!current || parent?.filename !== current.place || request === current.place) return made;
  const file = Module._resolveFilename(request, parent);
  return isProduct(file) ? current.note(made, file) : made;
}

/* Loads test files once more, runs those tests that pass, and tells calls with answers. */
async function tryCalls(passed, bring, attempt) {
  const { exit } = process;
  process.exit = () => { throw new Error('it ends the process'); };
  process.stdout.write = () => true;
  process.stderr.write = () => true;
  Module._load = load;
  let ends = clockNow() + TO_NOTE;
  const wait = (time) => new Promise((resolve) => { parts.wait(resolve, time); });
  for (const file of order.files.filter((one) => passed.some((test) => test.file === one.path))) {
    if (clockNow() > ends) break;
    const note = noting(order.own.includes(file.path) ? 'own' : 'sealed');
    const names = new Set(passed.filter((test) => test.file === file.path).map((test) => test.name));
    try {
      const within = { begin(place) { current = { place, note }; }, end() { current = undefined; },
        changed: (text, folder) => handedOn(file.path, text, note, folder) };
      for (const test of await bring(file, within)) {
        if (clockNow() > ends) break;
        if (names.has(test.name)) await Promise.race([attempt(test), wait(OF_TEST)]);
      }
    } catch {
      continue;
    }
  }
  ends = clockNow() + TO_CALL;
  const isFirst = (one) => files.includes(one.file);
  for (const noted of [...found.values()].sort((one, other) => isFirst(other) - isFirst(one))) {
    if (clockNow() > ends) break;
    const inputs = [...answered(noted, ends)];
    const file = path.relative(order.root, noted.file);
    if (inputs.length) parts.tell({ call: { file, module: file, names: [noted.name], inputs } });
  }
  process.exit = exit;
}

module.exports = { tryCalls };
