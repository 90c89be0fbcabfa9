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
const PATCHES = /sinon|mock|stub|proxyquire|spyOn|rewire|nock|\b(?:fs|path|os|process|Date|Math|JSON|crypto|Buffer)\.\w+\s*=[^=]/;
const RUNTIME = ['JSON', 'Object', 'Array', 'Math', 'Date', 'Promise', 'Number', 'String', 'RegExp', 'Reflect', 'Function',
  'Buffer', 'Symbol', 'Boolean', 'BigInt'];
const COLLECTIONS = ['Map', 'Set', 'WeakMap', 'WeakSet', 'ArrayBuffer', 'DataView', 'TextDecoder', 'TextEncoder', 'URL'];
const MODULES = ['assert', 'fs', 'path', 'os', 'crypto', 'util', 'child_process', 'http', 'https', 'events', 'url'];

const read = fs.readFileSync.bind(fs);
const [encode, parse] = [JSON.stringify.bind(JSON), JSON.parse.bind(JSON)];
const library = [];
const replaced = new Map();
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

/* Notes data of tests in the cache of modules that is not what its file holds; tests that reach into it may do that. */
function checkCache() {
  if (order.files.some((file) => file.text.includes('require.cache'))) return;
  for (const [file, made] of Object.entries(require.cache)) {
    const own = path.relative(order.root, file);
    if (OF_TESTS.test(own) && !own.includes('node_modules') && isForged(file, made)) {
      replaced.set(`require.cache['${own}']`, 'something else than the file');
    }
  }
}

function isForged(file, made) {
  if (!(made instanceof Module)) return true;
  try {
    return file.endsWith('.json') && encode(made.exports) !== encode(parse(read(file, 'utf8').replace(/^\uFEFF/, '')));
  } catch {
    return false;
  }
}

module.exports = { check, checkCache, patches: (text) => PATCHES.test(text), replaced, take };
