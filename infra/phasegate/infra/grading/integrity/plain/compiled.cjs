/*
 * TypeScript of the project as the JavaScript that a package of it holds, in the place where its compiler puts that.
 *
 * Part of `execute.cjs`, for a checkout that lies as if it were installed. Sources and settings are removed afterwards,
 * unless all files are to be kept.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { configured, isTyped, output, redirect } = parts.transform;
const OF_TESTS = /(?:^|\/)(?:tests?|__tests__|specs?|examples?|bench\w*|scripts)\/|[._-](?:test|spec)\.\w+$|\.config\.\w+$/;
const DECLARES = /\.d\.[cm]?ts$/;
const COMPILED = { '.mts': '.mjs', '.cts': '.cjs' };
const SETTINGS = /^tsconfig[\w.-]*\.json$/;
const MOST = 5000; // files of a project

/* Files below a folder, without those of tools and of other packages. */
function* files(folder) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.')) yield* files(place);
    else if (entry.isFile()) yield place;
  }
}

const within = (folder, file) => file.startsWith(`${folder}/`);
const renamed = (file) => file.slice(0, -path.extname(file).length) + (COMPILED[path.extname(file)] ?? '.js');

/* Folder of sources and the one that the compiler writes to; both are the same where sources lie elsewhere, too. */
function folders(sources) {
  const { outDir } = configured(order.root);
  const [from, to] = [path.join(order.root, 'src'), path.resolve(order.root, outDir ?? '.')];
  const isApart = within(order.root, to) && !within(from, to) && sources.every((file) => within(from, file));
  return isApart ? [from, to] : [order.root, order.root];
}

/* Compiles what the project holds. Returns the paths of changed files from then on. */
module.exports = function compileAll(changed) {
  const all = [...files(order.root)].slice(0, MOST);
  const isOwn = (file) => !OF_TESTS.test(path.relative(order.root, file)) && !DECLARES.test(file);
  const sources = all.filter((file) => isTyped(file) && isOwn(file));
  if (!sources.length || !parts.transform.isHooked()) return changed;
  for (const file of order.files) configured(path.dirname(path.join(order.root, file.path))); // read before it goes
  const [from, to] = folders(sources);
  const place = (file) => path.join(to, path.relative(from, isTyped(file) ? renamed(file) : file));
  const moved = from === to ? sources : all.filter((file) => within(from, file) && isOwn(file));
  for (const file of moved) {
    fs.mkdirSync(path.dirname(place(file)), { recursive: true });
    if (isTyped(file)) fs.writeFileSync(place(file), output(file, place(file)));
    else fs.copyFileSync(file, place(file));
  }
  if (from !== to) redirect(from, to);
  const gone = [...moved, ...all.filter((file) => SETTINGS.test(path.basename(file)))];
  for (const file of order.keeps ? [] : gone) fs.unlinkSync(file);
  const compiled = new Set(moved);
  return changed.map((name) => {
    const file = path.join(order.root, name);
    return compiled.has(file) ? path.relative(order.root, place(file)) : name;
  });
};
