/*
 * What runners hand to tests besides running them: assertions and stand-ins, from the packages that the project has.
 *
 * Part of `execute.cjs`. Whatever else a test asks of its runner cannot be had here, which is said of it.
 */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const { installed } = parts.transform;

class NotHere extends Error {}

const readFile = fs.readFileSync.bind(fs);
const start = path.dirname(path.join(order.root, order.files[0]?.path ?? 'package.json'));

function tool(...names) {
  const from = createRequire(path.join(start, 'package.json'));
  const owner = names.slice(0, -1).reduce((at, name) => createRequire(at.resolve(name)), from);
  return owner(names.at(-1));
}

function first(...makers) {
  for (const make of makers) {
    try {
      const found = make();
      if (found) return found;
    } catch {
      continue;
    }
  }
  return undefined;
}

/* Stand-ins for functions, as `jest` and `vi` make them; all else of these two is not here. */
function standIns(fn, spyOn, rest) {
  const known = { fn, spyOn, mocked: (one) => one, ...rest };
  return new Proxy(known, {
    get(target, name) {
      if (name in target || typeof name === 'symbol') return target[name];
      throw new NotHere(`${String(name)} of the runner`);
    },
  });
}

function ofJest() {
  const found = first(() => tool('expect'), () => tool('jest', 'expect'), () => tool('jest', '@jest/core', 'expect'));
  const mock = first(() => tool('jest-mock'), () => tool('jest', 'jest-mock'), () => tool('jest', '@jest/core', 'jest-mock'));
  const tools = { expect: found && (found.expect || found.default || found) };
  if (mock) {
    const maker = new mock.ModuleMocker(globalThis);
    const rest = Object.fromEntries(['clearAllMocks', 'resetAllMocks', 'restoreAllMocks'].map((one) => [one, () => maker[one]()]));
    tools.jest = standIns(maker.fn.bind(maker), maker.spyOn.bind(maker), rest);
  }
  return tools;
}

/* The assertions of Vitest, put together as Vitest does. */
async function ofVitest() {
  const vitest = installed('vitest', start);
  const place = vitest && installed('@vitest/expect', vitest);
  if (!place) return {};
  const load = async (folder) => {
    const { exports: told, main, module } = JSON.parse(readFile(path.join(folder, 'package.json'), 'utf8'));
    const target = told?.['.']?.import?.default || told?.['.']?.default || told?.['.']?.import || module || main;
    return parts.bring(pathToFileURL(path.join(folder, target)).href);
  };
  const about = await load(place);
  const chai = about.chai || await load(installed('chai', place));
  for (const name of ['JestExtend', 'JestChaiExpect', 'JestAsymmetricMatchers']) chai.use(about[name]);
  const expect = Object.assign((value, message) => {
    about.setState({ assertionCalls: about.getState(expect).assertionCalls + 1 }, expect);
    return chai.expect(value, message);
  }, chai.expect, globalThis[about.ASYMMETRIC_MATCHERS_OBJECT]);
  Object.assign(expect, {
    getState: () => about.getState(expect),
    setState: (state) => about.setState(state, expect),
    extend: (matchers) => chai.expect.extend(expect, matchers),
    unreachable: (message) => chai.assert.fail(message ?? 'reached'),
    assertions() {},
    hasAssertions() {},
  });
  about.setState({ assertionCalls: 0, currentTestName: '', testPath: '', environment: 'node' }, expect);
  globalThis[about.GLOBAL_EXPECT] ??= expect;
  const tools = { expect, assert: chai.assert };
  const spies = installed('@vitest/spy', vitest) && await load(installed('@vitest/spy', vitest));
  if (spies) {
    const all = new Set();
    const kept = (make) => (...words) => {
      const made = make(...words);
      all.add(made);
      return made;
    };
    const each = (name) => () => all.forEach((one) => one[name]());
    const rest = { clearAllMocks: each('mockClear'), resetAllMocks: each('mockReset'), restoreAllMocks: each('mockRestore') };
    tools.vi = standIns(kept(spies.fn), kept(spies.spyOn), rest);
  }
  return tools;
}

/* Deep equality as AVA has it, which looks at no prototype but by its name. */
function deepEquality() {
  const ava = installed('ava', start);
  const concordance = ava && first(() => createRequire(path.join(ava, 'package.json'))('concordance'));
  if (!concordance) return { deepEqual: assert.deepStrictEqual, notDeepEqual: assert.notDeepStrictEqual };
  const judge = (wanted) => (value, other) => {
    const { pass } = concordance.compare(value, other);
    if (pass !== wanted) assert.fail(concordance.diff(value, other));
  };
  return { deepEqual: judge(true), notDeepEqual: judge(false) };
}
const deep = deepEquality();

/* The argument of a test in AVA. */
function avaContext(shared, ends) {
  const rejects = (async) => (body, want = {}) => {
    const wanted = typeof want === 'function' ? { instanceOf: want } : want || {};
    const judge = (error) => {
      if (wanted.instanceOf) assert(error instanceof wanted.instanceOf, `another error: ${error}`);
      for (const key of ['name', 'code']) if (wanted[key]) assert.equal(error[key], wanted[key]);
      if (wanted.message instanceof RegExp) assert.match(error.message, wanted.message);
      else if (typeof wanted.message === 'function') assert(wanted.message(error.message));
      else if (wanted.message !== undefined) assert.equal(error.message, wanted.message);
      return error;
    };
    if (async) return assert.rejects(body, (error) => Boolean(judge(error)) || true);
    let thrown;
    assert.throws(body, (error) => {
      thrown = judge(error);
      return true;
    });
    return thrown;
  };
  const t = {
    context: shared,
    is: assert.strictEqual, not: assert.notStrictEqual, ...deep,
    true: (value) => assert.strictEqual(value, true), false: (value) => assert.strictEqual(value, false),
    truthy: (value) => assert(value), falsy: (value) => assert(!value), assert: (value) => assert(value),
    regex: assert.match, notRegex: assert.doesNotMatch, throws: rejects(false), throwsAsync: rejects(true),
    notThrows: assert.doesNotThrow, notThrowsAsync: assert.doesNotReject,
    like(value, part) {
      for (const [key, one] of Object.entries(part)) {
        if (one && typeof one === 'object') t.like(value[key], one);
        else assert.strictEqual(value[key], one);
      }
    },
    fail: (message) => assert.fail(message), pass() {}, plan() {}, log() {}, timeout() {},
    teardown: (end) => ends.push(end), title: '',
  };
  return t;
}

const jest = ofJest(); // before anything is watched: what it needs replaces functions of `fs`

/* Tools by the runner that a file names, or that is installed. */
async function toolsFor() {
  const vitest = await ofVitest().catch(() => ({}));
  const usual = vitest.expect && !installed('jest', start) ? vitest : jest;
  return (text) => (/["']vitest["']/.test(text) ? vitest : /["']@jest\/globals["']/.test(text) ? jest : usual);
}

module.exports = { NotHere, avaContext, start, toolsFor };
