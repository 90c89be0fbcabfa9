/*
 * Plain data as JSON and back, arguments and results of calls, as `values.py` reads them.
 *
 * Part of `execute.cjs`. It must not know what is called.
 */
'use strict';

const [LARGEST, LONGEST, DEEPEST] = [200, 2000, 6];
const { getOwnPropertyDescriptor, getPrototypeOf, getOwnPropertySymbols, keys } = Object;
const { isArray } = Array;
const { isSafeInteger } = Number;
const { isDate, isUint8Array } = require('node:util').types;
const bytes = Buffer.from.bind(Buffer);
const [dated, hex] = [Date.prototype.getTime, Buffer.prototype.toString];
const call = Reflect.apply;

/* A value is no plain data, or has too much of it. */
class NotPlain extends Error {}

function bounded(text) {
  if (text.length > LONGEST) throw new NotPlain('too long');
  return text;
}

function number(value) {
  if (isSafeInteger(value) && !Object.is(value, -0)) return ['int', value.toString(16)];
  if (value === Infinity || value === -Infinity) return ['float', value > 0 ? 'inf' : '-inf'];
  return ['float', Object.is(value, -0) ? '-0.0' : `${value}`.toLowerCase()];
}

/* Data of an object itself; what reads it would run code. */
function held(value, key) {
  const about = getOwnPropertyDescriptor(value, key);
  if (about && !('value' in about)) throw new NotPlain('it is worked out');
  return about?.value;
}

/* Data as JSON: the name of a kind, and what it holds. Throws NotPlain for anything else. */
function writeValue(value, deep = 0) {
  switch (typeof value) {
    case 'undefined': return ['undefined', null];
    case 'boolean': return ['bool', value];
    case 'number': return number(value);
    case 'bigint': return ['bigint', bounded(value.toString(16))];
    case 'string': return ['str', bounded(value)];
    case 'object': break;
    default: throw new NotPlain(typeof value);
  }
  if (value === null) return ['bool', null];
  if (isDate(value)) return ['date', `${call(dated, value, [])}`];
  if (isUint8Array(value)) return [value instanceof Buffer ? 'bytes' : 'octets', bounded(call(hex, bytes(value), ['hex']))];
  if (deep >= DEEPEST || getOwnPropertySymbols(value).length) throw new NotPlain('too deep');
  if (isArray(value)) {
    if (value.length > LARGEST) throw new NotPlain('too large');
    return ['list', Array.from({ length: value.length }, (_, at) => writeValue(held(value, at), deep + 1))];
  }
  const names = keys(value);
  if (![Object.prototype, null].includes(getPrototypeOf(value)) || names.length > LARGEST) throw new NotPlain('an object');
  return ['dict', names.map((name) => [['str', name], writeValue(held(value, name), deep + 1)])];
}

/* Data as `writeValue` has written it. */
function readValue([kind, inner]) {
  switch (kind) {
    case 'undefined': return undefined;
    case 'int': return inner.startsWith('-') ? -parseInt(inner.slice(1), 16) : parseInt(inner, 16);
    case 'float': return { inf: Infinity, '-inf': -Infinity }[inner] ?? Number(inner);
    case 'bigint': return inner.startsWith('-') ? -BigInt(`0x${inner.slice(1)}`) : BigInt(`0x${inner}`);
    case 'date': return new Date(Number(inner));
    case 'bytes': return bytes(inner, 'hex');
    case 'octets': return new Uint8Array(bytes(inner, 'hex'));
    case 'list': return inner.map(readValue);
    case 'dict': {
      const made = {};
      for (const [key, value] of inner) {
        Object.defineProperty(made, key[1], { value: readValue(value), writable: true, enumerable: true, configurable: true });
      }
      return made;
    }
    default: return inner;
  }
}

module.exports = { NotPlain, readValue, writeValue };
