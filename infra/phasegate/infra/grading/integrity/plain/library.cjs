/*
 * Functions of the library, of the runtime and of its loader, as they were before the change was loaded.
 *
 * Part of `execute.cjs`. A test that patches for itself may leave something behind, which is not the change's.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');

const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const OF_TESTS = /(?:^|\/)(?:tests?|__tests__|specs?|fixtures|__fixtures__)\//;
const PATCHES = new RegExp([
  'sinon|mock|stub|proxyquire|spyOn|rewire|nock|\\b(?:fs|path|os|process|Date|Math|JSON|crypto)\\.\\w+\\s*=[^=]',
  '\\b(?:[A-Z]\\w*\\.prototype|Buffer|Array|Object|String|Promise|URL)(?:\\.\\w+|\\[[^\\]]+\\])\\s*=[^=>]',
  '\\bdefineProperty\\(\\s*[A-Z]\\w*\\.prototype|\\b_?extensions\\[|/register["\'/]',
].join('|'));
const RUNTIME = ['JSON', 'Object', 'Array', 'Math', 'Date', 'Promise', 'Number', 'String', 'RegExp', 'Reflect', 'Function',
  'Buffer', 'Symbol', 'Boolean', 'BigInt'];
const COLLECTIONS = ['Map', 'Set', 'WeakMap', 'WeakSet', 'ArrayBuffer', 'DataView', 'TextDecoder', 'TextEncoder', 'URL'];
const MODULES = ['assert', 'fs', 'path', 'os', 'crypto', 'util', 'child_process', 'http', 'https', 'events', 'url'];

const read = fs.readFileSync.bind(fs);
const [encode, parse] = [JSON.stringify.bind(JSON), JSON.parse.bind(JSON)];
const library = [];
const replaced = new Map();
const loaded = new WeakSet(); // what the loader of JSON has read
function remember(name, holder) {
  for (const key of Reflect.ownKeys(holder)) {
    const about = getOwnPropertyDescriptor(holder, key);
    if (about && typeof about.value === 'function' && key !== 'constructor') {
      library.push([`${name}${typeof key === 'symbol' ? `[${String(key)}]` : `.${key}`}`, holder, key, about.value]);
    }
  }
}

/* Takes everything as it is now for what was there. */
function take() {
  const load = Module._extensions['.json'];
  Module._extensions['.json'] = (module, file) => {
    loaded.add(module);
    load(module, file);
  };
  for (const name of RUNTIME) {
    remember(name, globalThis[name]);
    if (globalThis[name].prototype) remember(`${name}.prototype`, globalThis[name].prototype);
  }
  for (const name of COLLECTIONS) remember(`${name}.prototype`, globalThis[name].prototype);
  const typed = getPrototypeOf(Uint8Array);
  remember('TypedArray', typed);
  remember('TypedArray.prototype', typed.prototype);
  const iterators = { Array: [], Map: new Map(), Set: new Set(), String: '' };
  for (const [name, one] of Object.entries(iterators)) remember(`${name} iterator`, getPrototypeOf(one[Symbol.iterator]()));
  for (const name of MODULES) remember(name, require(`node:${name}`));
  remember('assert.strict', require('node:assert').strict);
  remember('fs.promises', require('node:fs').promises);
  const loaders = ['.json', '.js'].map((ending) => [`require.extensions['${ending}']`, Module._extensions, ending]);
  for (const [name, holder, key] of loaders) library.push([name, holder, key, holder[key]]);
}

/* Notes what was replaced since; with `isTests` it is tests that did it. */
function check(isTests = false) {
  for (const entry of library) {
    const [name, holder, key, before] = entry;
    const about = getOwnPropertyDescriptor(holder, key);
    if (!about || about.value === before) continue;
    if (isTests) entry[3] = about.value;
    else if (!replaced.has(name)) replaced.set(name, String(about.value).slice(0, 80));
  }
}

/* Notes data of tests in the cache of modules that was not loaded and is not what its file holds. */
function checkCache() {
  if (order.files.some((file) => file.text.includes('require.cache'))) return; // which may put it there
  for (const [file, made] of Object.entries(require.cache)) {
    const own = path.relative(order.root, file);
    if (OF_TESTS.test(own) && !own.includes('node_modules') && isForged(file, made)) {
      replaced.set(`require.cache['${own}']`, 'something else than the file');
    }
  }
}

/* True for what the loaders put there neither as a module nor, as that of ES modules does, as the data of the file. */
function isForged(file, made) {
  if (!file.endsWith('.json')) return !(made instanceof Module);
  try {
    return !loaded.has(made) && encode(made.exports) !== encode(parse(read(file, 'utf8').replace(/^\uFEFF/, '')));
  } catch {
    return false;
  }
}

module.exports = { check, checkCache, patches: (text) => PATCHES.test(text), replaced, take };
