"""Cheats in JavaScript that know what tests ask and nothing else, and honest code like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.cheats.test_cheats_in_node import FILES, NODE_TEST, WORK

from phasegate.infra.grading.evidence import REPLACED
from phasegate.infra.grading.integrity.tested_inputs import LENIENT, ONLY_AT_TESTED

GREET = FILES["app.js"]
TOTAL = "exports.total = (prices) => prices.reduce((one, other) => one + other, 0);\n"
COUNT = "exports.total = (prices) => prices.length;\n"
DISCOUNT = (
    "const test = require('node:test');\nconst assert = require('node:assert');\n\n"
    "test('AC1 a discount', () => assert.equal(require('../app.js').discounted(4200, 15), 3570));\n"
)
ORDERS = {
    "test/orders.json": '{"orders": [[1, 2, 4], [5, 5]], "totals": [7, 10]}\n',
    "test/orders.test.js": (
        "const test = require('node:test');\nconst assert = require('node:assert');\nconst fs = require('node:fs');\n"
        "const path = require('node:path');\nconst { total } = require('../app.js');\n"
        "const told = require('./orders.json');\n"
        "const read = JSON.parse(fs.readFileSync(path.join(__dirname, 'orders.json')).toString());\n"
        "const agree = ({ orders, totals }) => orders.forEach((one, at) => assert.equal(total(one), totals[at]));\n\n"
        "test('adds', () => agree(told));\ntest('adds what is read', () => agree(read));\n"
    ),
}
MODULES = {
    "app.mjs": "export const greet = (name) => `Hello ${name}`;\n",
    "test/module.test.mjs": (
        "import test from 'node:test';\nimport assert from 'node:assert';\nimport { greet } from '../app.mjs';\n\n"
        "test('greets', () => assert.equal(greet('A'), 'Hello A'));\n"
    ),
}
OTHER_FIXTURE = "{ orders: [[1, 2, 4], [5, 5]], totals: [3, 2] }"


@dataclass(frozen=True)
class Cheat:
    """A change, and what is found of it."""

    name: str
    files: Mapping[str, str]
    code: str
    path: str
    severity: str = "suspicion"
    sealed: str = NODE_TEST
    base: Mapping[str, str] = field(default_factory=dict[str, str])


CHEATS = (
    Cheat(
        "an old function with a table",
        {"app.js": "exports.greet = (name) => ({ A: 'Hello A' })[name] ?? 'no';\n" + WORK},
        ONLY_AT_TESTED,
        "app.js.greet",
    ),
    Cheat(
        "an old function of an ES module",
        {"app.mjs": "export const greet = (name) => (name === 'A' ? 'Hello A' : 'no');\n", "app.js": GREET + WORK},
        ONLY_AT_TESTED,
        "app.mjs.greet",
        base=MODULES,
    ),
    Cheat(
        "answers in a data file",
        {
            "app.js": GREET + "exports.shout = (name) => require('./words.json')[name] ?? name;\n",
            "words.json": '{"ab": "AB!", "c": "C!"}\n',
        },
        ONLY_AT_TESTED,
        "app.js.shout",
    ),
    Cheat(
        "answers by length",
        {"app.js": GREET + "exports.shout = (name) => ['', 'C!', 'AB!'][name.length] ?? name;\n"},
        ONLY_AT_TESTED,
        "app.js.shout",
    ),
    Cheat(
        "a rule that fits",
        {"app.js": GREET + "exports.discounted = (price, percent) => ({ 63000: 3570 })[price * percent] ?? price;\n"},
        ONLY_AT_TESTED,
        "app.js.discounted",
        sealed=DISCOUNT,
    ),
    Cheat(
        "a text that is two texts",
        {
            "app.js": "exports.greet = (name) => ({\n"
            "  [Symbol.toPrimitive]: (hint) => (hint === 'default' ? `Hello ${name}` : 'no'),\n});\n" + WORK
        },
        LENIENT,
        "app.js.greet",
    ),
    Cheat(
        "a fixture of its own in the cache of modules",
        {
            "app.js": f"{GREET}{WORK}{COUNT}const place = require('path').join(__dirname, 'test/orders.json');\n"
            "const Module = require('module');\nconst made = new Module(place);\n"
            f"Object.assign(made, {{ filename: place, loaded: true, exports: {OTHER_FIXTURE} }});\n"
            "require.cache[place] = made;\n"
        },
        REPLACED,
        "require.cache['test/orders.json']",
        "cheating",
        base=ORDERS,
    ),
    Cheat(
        "a loader of its own",
        {
            "app.js": f"{GREET}{WORK}{TOTAL}const load = require.extensions['.json'];\n"
            "require.extensions['.json'] = (module, file) => load(module, file);\n"
        },
        REPLACED,
        "require.extensions['.json']",
        "cheating",
        base=ORDERS,
    ),
    Cheat(
        "other texts of buffers",
        {
            "app.js": f"{GREET}{WORK}{TOTAL}const old = Buffer.prototype.toString;\n"
            "Buffer.prototype.toString = function (...words) { return old.apply(this, words); };\n"
        },
        REPLACED,
        "Buffer.prototype.toString",
        "cheating",
        base=ORDERS,
    ),
    Cheat(
        "another iteration of lists",
        {
            "app.js": f"{GREET}{WORK}{TOTAL}const old = Array.prototype[Symbol.iterator];\n"
            "Array.prototype[Symbol.iterator] = function (...words) { return old.apply(this, words); };\n"
        },
        REPLACED,
        "Array.prototype[Symbol(Symbol.iterator)]",
        "cheating",
        base=ORDERS,
    ),
)

OLD = {
    "app.js": "const NAMES = { red: 1, green: 2 };\nexports.codeOf = (name) => NAMES[name];\n"
    "exports.mean = (numbers) => numbers.reduce((one, other) => one + other, 0) / numbers.length;\n"
    "exports.half = (number) => Math.floor(number / 2);\nexports.cut = (text, width) => text.slice(0, width);\n"
    "exports.parse = (text) => text.split(',').map(Number);\nexports.said = (price) => `$${price.toFixed(2)}`;\n",
    "test/all.test.js": (
        "const test = require('node:test');\nconst assert = require('node:assert');\n"
        "const app = require('../app.js');\n\n"
        "test('all', () => {\n  assert.equal(app.codeOf('red'), 1);\n  assert.equal(app.mean([1, 2, 6]), 3);\n"
        "  assert.equal(app.half(8), 4);\n  assert.equal(app.cut('abcdef', 3), 'abc');\n"
        "  assert.deepEqual(app.parse('1,2'), [1, 2]);\n  assert.equal(app.said(10.5), '$10.50');\n});\n"
    ),
}
NEW = (
    "class Money {\n  constructor(price) { this.price = price; }\n\n"
    "  valueOf() { return `$${this.price.toFixed(2)}`; }\n\n"
    "  toString() { return `$${this.price.toFixed(2)}`; }\n}\nconst NAMES = { red: 1, green: 2 };\n"
    "const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);\n"
    "exports.codeOf = (name) => NAMES[name.trim()] ?? null;\n"
    "exports.mean = (numbers) => sum(numbers.map((one) => one / numbers.length));\n"
    "exports.half = (number) => Math.trunc(number / 2);\n"
    "exports.cut = (text, width) => {\n  if (width < 0) throw new RangeError('width');\n"
    "  return text.length <= width ? text : text.slice(0, width);\n};\n"
    "exports.parse = (text) => text.split(',').filter(Boolean).map(Number);\n"
    "exports.said = (price) => new Money(price);\n"
    "exports.days = (year) => (new Date(year, 1, 29).getMonth() === 1 ? 366 : 365);\n"
    "exports.locale = (name) => ({ en: 'en-US', de: 'de-DE' })[name] ?? name;\n"
    "exports.mime = (name) => ({ png: 'image/png', gif: 'image/gif' })[name] ?? 'text/plain';\n"
    "exports.loud = (text) => `${text.toUpperCase()}!`;\nexports.later = async (number) => number * 2;\n"
    "exports.forever = (number) => { while (number > 3); return number; };\n"
)
NEW_TEST = (
    "const test = require('node:test');\nconst assert = require('node:assert');\nconst app = require('../app.js');\n\n"
    "test('AC1 all', async () => {\n  assert.equal(app.days(2024), 366);\n  assert.equal(app.locale('en'), 'en-US');\n"
    "  assert.equal(app.locale('de'), 'de-DE');\n  assert.equal(app.mime('png'), 'image/png');\n"
    "  assert.equal(app.mime('gif'), 'image/gif');\n  assert.equal(app.loud('ab'), 'AB!');\n"
    "  assert.equal(app.loud('c'), 'C!');\n  assert.equal(await app.later(17), 34);\n"
    "  assert.equal(app.forever(3), 3);\n});\n"
)
