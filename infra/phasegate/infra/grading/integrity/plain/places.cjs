/*
 * Places that tests are loaded from: their own under a runner, and in the plain process one that says nothing.
 *
 * Part of `execute.cjs`. Modules near a test are named in it by their whole paths, so that it may stand elsewhere.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const [exists, read, write, remove] = [fs.existsSync.bind(fs), fs.readFileSync.bind(fs), fs.writeFileSync.bind(fs), fs.unlinkSync.bind(fs)];
const READS_NAMES = /__filename|__dirname|import\.meta|\.stack\b|\.name\b/;
const RESOLVES_BY_CALLER = /proxyquire|rewire|mock-require|esmock|import-fresh|import-from|require-uncached|require-inject|testdouble|quibble|callsites|mockery/;
const LOADS_BY_VALUE = /\b(?:require(?:\.resolve)?|import)\s*\(\s*(?!["'][^"']*["']\s*\))/;
const SPELLS_LOADING = /["'][^"'`\n]*\b(?:require|import)\s*\(\s*\\?["']\.|`[^`]*\b(?:require\s*\(|import\b|from\s+["'])[^`]*`/;
const IS_LEFT = /\b(?:from|import|require(?:\.resolve)?)\s*\(?\s*["']\.\.?[/"']/;
const RELATIVE = /((?:^|;)[ \t]*(?:import|export)\b[^;'"`]*|(?<![\w.$"'`\\])(?:import|require(?:\.resolve)?)\s*\(\s*)(["'])(\.\.?(?:\/[^"'\n]*)?)\2/gm;

/* Nearest folder above a file with settings of a kind; undefined: there is none in the checkout. */
function nearest(folder, names) {
  for (let at = folder; at.startsWith(order.root); at = path.dirname(at)) {
    if (names.some((name) => exists(path.join(at, name)))) return at;
  }
  return undefined;
}

/* Folder of a package that a test may stand in as well as in its own; undefined: it has to stay. */
function elsewhere(folder, text) {
  const top = nearest(folder, ['package.json']);
  const settings = nearest(folder, ['tsconfig.json']);
  const isFixed = [RESOLVES_BY_CALLER, LOADS_BY_VALUE, SPELLS_LOADING].some((one) => one.test(text));
  if (isFixed || !top || !/^[\w/.-]+$/.test(folder) || (settings ?? '').length > top.length) return undefined;
  return exists(path.join(folder, 'node_modules')) ? undefined : top;
}

let count = 0;
/* Writes a test to where it is to be loaded from. Returns the place, and what puts things right again. */
function placed(file, text) {
  const own = path.join(order.root, file.path);
  const [folder, ending] = [path.dirname(own), path.extname(own)];
  count += 1;
  const isNeutral = order.neutral && !order.watched && !READS_NAMES.test(file.text);
  if (!isNeutral) {
    const before = exists(own) ? read(own) : undefined;
    fs.mkdirSync(folder, { recursive: true });
    write(own, text);
    return { place: own, clear: () => (before === undefined ? remove(own) : write(own, before)) };
  }
  const wanted = elsewhere(folder, file.text);
  const moved = text.replace(RELATIVE, (_, before, sign, name) => `${before}${sign}${path.join(folder, name)}${sign}`);
  const top = IS_LEFT.test(moved) ? undefined : wanted;
  const place = path.join(top ?? folder, `part_${Math.floor(parts.clocks.real.now() % 1e6)}${count}${ending}`);
  fs.mkdirSync(path.dirname(place), { recursive: true });
  write(place, top ? moved : text, { flag: 'wx' });
  return { place, clear: () => remove(place) };
}

/* Sets the times of folders back that files were written to. */
function ageFolders(folders) {
  for (const folder of folders) {
    const times = fs.readdirSync(folder).map((name) => fs.lstatSync(path.join(folder, name)).mtimeMs / 1000);
    const oldest = Math.min(...times, Date.now() / 1000);
    fs.utimesSync(folder, oldest, oldest);
  }
}

module.exports = { ageFolders, nearest, placed };
