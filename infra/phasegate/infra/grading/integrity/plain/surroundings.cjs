/*
 * What a process shows of how it was started: by a runner, or as a service.
 *
 * Part of `execute.cjs`.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { nearest } = parts.places;
const read = fs.readFileSync.bind(fs);
const ASKS_NODE = /["']node:test["']/;
const IS_MODULE = /^\s*(?:import|export)\b/m;

/* Gives the process the command line by which a runner loads and runs a file. */
function look(file) {
  if (!order.watched) return;
  const { text } = order.files.find((one) => one.path === file);
  process.argv = ASKS_NODE.test(text) ? [process.argv[0], path.join(order.root, file)]
    : [process.argv[0], path.join(order.fixed, 'node_modules/.bin/mocha'), '--test', 'test/all.test.js'];
}

/* Node's own runner, which the watched process runs tests in. */
function runner() {
  try {
    return require('node:test').test;
  } catch {
    return undefined; // before Node 18
  }
}
const node = order.watched ? runner() : undefined;
const within = (work) => (node ? new Promise((resolve) => {
  node('', async () => resolve(await work()));
}) : work());

/* What nobody catches ends no process of ours; a release has no listeners for it. */
function survive() {
  const names = ['unhandledRejection', 'uncaughtException'];
  if (order.watched) {
    for (const name of names) process.on(name, () => undefined);
    return;
  }
  const emit = process.emit.bind(process);
  Object.defineProperty(process, 'emit', {
    value: (name, ...words) => emit(name, ...words) || names.includes(name), configurable: true, writable: true,
  });
}

/* True for a test that Node's own runner would start as the main module. */
function isMain(file) {
  const kind = nearest(path.dirname(path.join(order.root, file.path)), ['package.json']);
  const isModulePackage = kind && JSON.parse(read(path.join(kind, 'package.json'), 'utf8')).type === 'module';
  const isScript = /\.c?js$/.test(file.path) && !(isModulePackage && file.path.endsWith('.js'));
  return order.watched && ASKS_NODE.test(file.text) && isScript && !IS_MODULE.test(file.text);
}

module.exports = { isMain, look, survive, within };
