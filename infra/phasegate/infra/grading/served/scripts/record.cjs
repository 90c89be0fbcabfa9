/*
 * Recorder of the requests that tests send to the service, in Node: whatever a server of the tests' process answers.
 *
 * Runs inside the sandbox, loaded into each Node process of the tests. Requests that product code sends while it
 * answers one are another service's. Results are lines of JSON, as those of the Python script beside this one.
 */
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { AsyncLocalStorage } = require('node:async_hooks');
const { syncBuiltinESMExports } = require('node:module');
const { Readable } = require('node:stream');
const channels = require('node:diagnostics_channel');

const order = JSON.parse(fs.readFileSync(path.join(__dirname, 'recorder.json'), 'utf8'));
const LARGEST = 64 * 1024;
const MOST = 2000;
const file = path.join(__dirname, `exchanges-${process.pid}.jsonl`);
const answering = new AsyncLocalStorage();
const outgoing = new Set();
const push = Readable.prototype.push;
const { write, end } = http.ServerResponse.prototype;
const BODIES = Symbol('bodies');
let written = 0;

/* Path of the innermost test file in the stack; empty: none is there. */
function testFile() {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 60;
  const { stack } = new Error('here');
  Error.stackTraceLimit = limit;
  for (const [, place] of String(stack).matchAll(/(?:file:\/\/)?(\/[^\s():]+):\d+:\d+/g)) {
    const relative = path.relative(order.root, place);
    if (order.tests.includes(relative)) return relative;
  }
  return '';
}

/* A process that runs one test file alone. */
const given = process.argv.slice(1).map((one) => path.relative(order.root, path.resolve(one)));
const alone = given.filter((one) => order.tests.includes(one));
const senders = new Map();
const listeners = new WeakMap();
const keyOf = (method, host, place) => `${method} ${host} ${place}`;
function sent(key) {
  const own = testFile();
  if (own) senders.set(key, own);
}

function bytes(data, encoding) {
  return Buffer.isBuffer(data) ? data : data instanceof Uint8Array ? Buffer.from(data) : Buffer.from(data, encoding);
}

function keep(list, data, encoding) {
  if ((typeof data === 'string' || data instanceof Uint8Array) && list.size < LARGEST * 2) {
    const piece = bytes(data, typeof encoding === 'string' ? encoding : undefined);
    list.push(piece);
    list.size += piece.length;
  }
}

function bodies(response) {
  if (!response[BODIES]) {
    Object.defineProperty(response, BODIES, { value: [], enumerable: false });
    response[BODIES].size = 0;
  }
  return response[BODIES];
}

function pairs(headers) {
  return Object.entries(headers).flatMap(([name, value]) => (
    Array.isArray(value) ? value.map((one) => [name, String(one)]) : [[name, String(value)]]));
}

function tell(response) {
  const request = response.req;
  if (!request || response.told || written >= MOST || response.statusCode === 101) return;
  Object.defineProperty(response, 'told', { value: true, enumerable: false });
  const key = keyOf(request.method, request.headers.host, request.url);
  if (outgoing.has(key)) return;
  const injected = request._lightMyRequest || {};
  let body = request[BODIES] ? Buffer.concat(request[BODIES]) : Buffer.alloc(0);
  if (injected.payload && !injected.payload.pipe) body = bytes(injected.payload);
  const chunks = (response._lightMyRequest && response._lightMyRequest.payloadChunks) || bodies(response);
  if (body.length > LARGEST) return;
  written += 1;
  fs.appendFileSync(file, `${JSON.stringify({
    test: '',
    file: senders.get(key) || testFile() || listeners.get(request.socket && request.socket.server) || (alone.length === 1 ? alone[0] : ''),
    method: request.method,
    path: request.url,
    headers: pairs(request.headers),
    body: body.toString('base64'),
    status: response.statusCode,
    answered: pairs(response.getHeaders()),
    answer: Buffer.concat(chunks.map((one) => bytes(one))).subarray(0, LARGEST).toString('base64'),
  })}\n`);
}

http.ServerResponse.prototype.write = function recorded(data, encoding, ...rest) {
  if (!this._lightMyRequest) keep(bodies(this), data, encoding);
  return write.call(this, data, encoding, ...rest);
};
http.ServerResponse.prototype.end = function recorded(data, encoding, ...rest) {
  if (!this._lightMyRequest && typeof data !== 'function') keep(bodies(this), data, encoding);
  const result = end.call(this, data, encoding, ...rest);
  tell(this);
  return result;
};
channels.channel('http.server.request.start').subscribe(({ request }) => {
  answering.enterWith(true);
  Object.defineProperty(request, BODIES, { value: [], enumerable: false });
  request[BODIES].size = 0;
  request.push = function recorded(data, encoding) {
    if (data) keep(request[BODIES], data, encoding);
    return push.call(this, data, encoding);
  };
});
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function recorded(...words) {
  listeners.set(this, testFile());
  return listen.apply(this, words);
};
const { request: send } = http;
http.request = function recorded(...words) {
  const request = send.apply(this, words);
  const key = keyOf(request.method, request.getHeader('host'), request.path);
  if (answering.getStore()) outgoing.add(key);
  else sent(key);
  return request;
};
http.get = function recorded(...words) {
  const request = http.request(...words);
  request.end();
  return request;
};
syncBuiltinESMExports();
channels.channel('undici:request:create').subscribe(({ request }) => {
  if (answering.getStore()) outgoing.add(keyOf(request.method, new URL(request.origin).host, request.path));
});
const { fetch } = globalThis;
if (fetch) {
  globalThis.fetch = function recorded(input, init) {
    try {
      const url = new URL(String((input && input.url) || input));
      const method = (init && init.method) || (input && input.method) || 'GET';
      sent(keyOf(method.toUpperCase(), url.host, `${url.pathname}${url.search}`));
    } catch {
      return fetch.call(this, input, init);
    }
    return fetch.call(this, input, init);
  };
}
