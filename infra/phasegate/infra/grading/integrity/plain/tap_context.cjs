/*
 * The argument of a test in tape and tap, which goes on after a check that fails, and ends when it is told to.
 *
 * Part of `execute.cjs`. Whatever else a test asks of its runner cannot be had here, which is said of it.
 */
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const { inspect } = require('node:util');
const { createRequire } = require('node:module');
const { installed } = parts.transform;
const { NotHere, start } = parts.runner_tools;

/* Deep equality as tape has it, which its own package judges. */
function deepEquality() {
  const tape = installed('tape', start);
  if (!tape) return (strict) => (strict ? assert.deepStrictEqual : assert.deepEqual);
  const equal = createRequire(path.join(tape, 'package.json'))('deep-equal');
  return (strict) => (value, other) => assert(equal(value, other, { strict }), `${inspect(value)} is not ${inspect(other)}`);
}

/* Fails where a check passes that must not. */
const inverted = (judge) => (...words) => {
  try {
    judge(...words);
  } catch {
    return;
  }
  assert.fail('the values are alike');
};

const raises = (judge) => (body, wanted) => judge(body, ...(wanted === undefined || typeof wanted === 'string' ? [] : [wanted]));
const identical = (value, other) => assert(value === other || Object.is(value, other), `${inspect(value)} is not ${inspect(other)}`);
const alike = (value, other) => assert(value == other, `${inspect(value)} is not ${inspect(other)}`);  // eslint-disable-line eqeqeq

/* Checks by their names; all words of one line mean the same. */
function checksOf(isTap) {
  const deep = deepEquality();
  const strict = deep(true);
  const same = deep(!isTap);
  const named = [
    ['equal equals isEqual is strictEqual strictEquals', identical],
    ['notEqual notEquals isNotEqual doesNotEqual isInequal isNot not notStrictEqual notStrictEquals', inverted(identical)],
    ['looseEqual looseEquals', alike],
    ['notLooseEqual notLooseEquals', inverted(alike)],
    ['deepEqual deepEquals isEquivalent strictSame strictDeepEqual', strict],
    ['notDeepEqual notDeepEquals notEquivalent isNotDeepEqual isNotEquivalent notStrictSame', inverted(strict)],
    ['same', same],
    ['notSame', inverted(same)],
    ['deepLooseEqual', deep(false)],
    ['notDeepLooseEqual', inverted(deep(false))],
    ['ok true assert', (value) => assert(value, `${inspect(value)} is not true`)],
    ['notOk false notok', (value) => assert(!value, `${inspect(value)} is not false`)],
    ['error ifError ifErr iferror', (value) => assert(!value, inspect(value))],
    ['match', (value, other) => assert.match(value, other)],
    ['doesNotMatch notMatch', (value, other) => assert.doesNotMatch(value, other)],
    ['throws', raises(assert.throws)],
    ['doesNotThrow', (body) => assert.doesNotThrow(body)],
    ['rejects', raises(assert.rejects)],
    ['resolves', (body) => assert.doesNotReject(typeof body === 'function' ? body : async () => body)],
    ['pass', () => undefined],
    ['fail', (message) => assert.fail(message)],
  ];
  return Object.fromEntries(named.flatMap(([words, judge]) => words.split(' ').map((word) => [word, judge])));
}
const judges = { tape: checksOf(false), tap: checksOf(true) };

/* Runs a test until it ends; the first check that failed is what it fails by. */
function tapTest(body, caller, runner) {
  return new Promise((resolve, reject) => {
    const failures = [];
    const ends = [];
    let planned = -1;
    let checks = 0;
    let isEnded = false;
    let going = 0;
    let inside = Promise.resolve();
    const noted = (error) => { failures.push(error); };
    const end = async () => {
      if (isEnded) return;
      isEnded = true;
      await inside;
      for (const one of ends.reverse()) await Promise.resolve().then(one).catch(noted);
      if (failures.length) reject(failures[0]);
      else resolve();
    };
    const counted = () => {
      checks += 1;
      if (checks === planned) end();
    };
    const check = (judge) => (...words) => {
      let outcome;
      try {
        if (words.length < 3 || !words.at(-1)?.skip) outcome = judge(...words);
      } catch (error) {
        noted(error);
      }
      if (typeof outcome?.then === 'function') {
        outcome = outcome.catch(noted).then(counted);
        inside = inside.then(() => outcome);
        return outcome;
      }
      counted();
      return outcome;
    };
    const known = {
      ...Object.fromEntries(Object.entries(judges[runner]).map(([name, judge]) => [name, check(judge)])),
      plan(count) {
        planned = count;
        if (count === 0) end();
      },
      end(error) {
        if (error) noted(error);
        end();
      },
      test(name, ...rest) {
        const inner = [name, ...rest].find((one) => typeof one === 'function');
        const options = rest.find((one) => one && typeof one === 'object') || {};
        going += 1;
        if (inner && !options.skip && !options.todo) inside = inside.then(() => tapTest(inner, caller, runner)).catch(noted);
        inside = inside.then(counted);
        inside.then(() => {
          going -= 1;
          if (!going && planned < 0) end();
        });
        return inside;
      },
      teardown: (one) => ends.push(one),
      comment() {}, timeoutAfter() {}, setTimeout() {}, skip: () => counted(), name: '',
    };
    const t = new Proxy(known, {
      get(target, name) {
        if (name in target || typeof name === 'symbol' || name === 'then') return target[name];
        throw new NotHere(`${inspect(name)} of the runner`);
      },
    });
    const failed = (error) => {
      failures.unshift(error);
      end();
    };
    try {
      const made = caller(body, undefined, [t]);
      if (typeof made?.then === 'function') made.then(() => { if (planned < 0) end(); }, failed);
    } catch (error) {
      failed(error);
    }
  });
}

module.exports = { tapTest };
