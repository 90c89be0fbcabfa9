/*
 * TypeScript, JSX and modules as CommonJS, by the transformer that the project has installed.
 *
 * Part of `execute.cjs`. A project's runner brings one of these transformers; which one it is matters little, since
 * both processes use the same. Without any, Node is left to do what it can by itself.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');

const [read, exists, real] = [fs.readFileSync.bind(fs), fs.existsSync.bind(fs), fs.realpathSync.bind(fs)];
const TYPED = ['.ts', '.tsx', '.mts', '.cts', '.jsx'];
const MEANT = { '.js': ['.ts', '.tsx'], '.jsx': ['.tsx'], '.mjs': ['.mts'], '.cjs': ['.cts'] };
const IS_MODULE = /^\s*(?:import\s*(?:[\w{*"']|type\b)|export\s*(?:[{*]|default|const|let|var|function|class|async)\b)|\bimport\.meta\b/m;
const DECORATED = { experimentalDecorators: true, emitDecoratorMetadata: true };
const HINTS = [
  [/"(?:ts-jest|ts-node)"/, 'typescript'],
  [/"(?:@swc\/jest|@swc-node\/register|unplugin-swc)"/, 'swc'],
  [/"(?:tsx|vitest|vite|esbuild[\w-]*)"/, 'esbuild'],
  [/"(?:@babel\/register|babel-jest|@babel\/preset-typescript)"/, 'babel'],
];
const META = "'use strict';const __meta={get url(){return require('node:url').pathToFileURL(__filename).href},"
  + 'filename:__filename,dirname:__dirname,env:process.env,main:false,'
  + "resolve:(name)=>require('node:url').pathToFileURL(require.resolve(name)).href};";

function json(file) {
  try {
    return JSON.parse(read(file, 'utf8'));
  } catch {
    return {};
  }
}

function* upwards(from) {
  for (let at = from; ; at = path.dirname(at)) {
    yield at;
    if (at === path.dirname(at)) return;
  }
}

/* Folder of an installed package, whatever it lets others import. */
function installed(name, from) {
  for (const at of upwards(from)) {
    const place = path.join(at, 'node_modules', name);
    if (exists(path.join(place, 'package.json'))) return real(place);
  }
  return undefined;
}

/* A package that is installed beside, or for, another one. */
function tool(from, ...names) {
  const place = names.reduce((at, name) => at && installed(name, at), from);
  try {
    return place && require(place);
  } catch {
    return undefined;
  }
}

/* Settings of the nearest tsconfig.json; such files are JavaScript, too: comments, trailing commas. */
const settings = new Map();
function configured(folder) {
  if (!settings.has(folder)) {
    const file = [...upwards(folder)].map((at) => path.join(at, 'tsconfig.json')).find(exists);
    settings.set(folder, file ? extended(file, 0) : {});
  }
  return settings.get(folder);
}

function extended(file, depth) {
  let told = {};
  try {
    told = new Function(`return (${read(file, 'utf8').replace(/^\uFEFF/, '')}\n)`)();
  } catch {
    return {};
  }
  const folder = path.dirname(file);
  const options = {};
  for (const name of depth > 5 ? [] : [told.extends || []].flat()) {
    const [owner, inner] = name.match(/^((?:@[^/]+\/)?[^/]+)(?:\/(.*))?$/)?.slice(1) ?? [];
    const place = name.startsWith('.') ? path.resolve(folder, name)
      : path.join(installed(owner, folder) || folder, inner || 'tsconfig.json');
    Object.assign(options, extended([place, `${place}.json`].find((one) => /\.json$/.test(one) && exists(one)) || '', depth + 1));
  }
  const own = told.compilerOptions || {};
  if (own.baseUrl) own.baseUrl = path.resolve(folder, own.baseUrl);
  if (own.paths) own.pathsFrom = own.baseUrl || options.baseUrl || folder;
  return Object.assign(options, own);
}

const ways = {
  typescript(from) {
    const ts = tool(from, 'typescript');
    return ts?.transpileModule && ((text, file, given) => {
      const { paths, pathsFrom, baseUrl, ...raw } = given;
      const { options } = ts.convertCompilerOptionsFromJson({ lib: undefined, ...raw, types: [] }, path.dirname(file));
      const isNew = (options.target ?? 0) >= ts.ScriptTarget.ES2022;
      const compilerOptions = {
        ...options,
        allowJs: true, esModuleInterop: true, isolatedModules: true, module: ts.ModuleKind.CommonJS,
        moduleResolution: undefined, verbatimModuleSyntax: false, noEmit: false, sourceMap: false, inlineSourceMap: false,
        declaration: false, emitDeclarationOnly: false, composite: false, incremental: false, importsNotUsedAsValues: undefined,
        preserveValueImports: undefined, outDir: undefined, outFile: undefined, noEmitHelpers: false, importHelpers: false,
        target: Math.max(options.target ?? 0, ts.ScriptTarget.ES2020),
        useDefineForClassFields: options.useDefineForClassFields ?? isNew,
        jsx: options.jsx === undefined || options.jsx === ts.JsxEmit.Preserve ? ts.JsxEmit.ReactJSX : options.jsx,
      };
      const fileName = file.replace(/\.[cm](?=[jt]s$)/, '.');  // endings that fix a format
      return ts.transpileModule(text, { fileName, compilerOptions }).outputText;
    });
  },
  esbuild(from) {
    const chains = [['esbuild'], ['tsx', 'esbuild'], ['vite', 'esbuild'], ['vitest', 'vite', 'esbuild'], ['tsup', 'esbuild']];
    const esbuild = chains.map((names) => tool(from, ...names)).find((found) => found?.transformSync);
    return esbuild && ((text, file, given) => esbuild.transformSync(text, {
      format: 'cjs', platform: 'node', target: `node${process.versions.node}`, sourcefile: file,
      loader: path.extname(file).replace(/^\.[cm]?/, '').replace(/^js$/, 'jsx'), supported: { 'dynamic-import': false },
      tsconfigRaw: { compilerOptions: { jsx: 'react-jsx', ...given, verbatimModuleSyntax: false } },
    }).code);
  },
  swc(from) {
    const swc = tool(from, '@swc/core');
    return swc?.transformSync && ((text, file, given) => swc.transformSync(text, {
      filename: file, swcrc: false, sourceMaps: false, module: { type: 'commonjs' },
      jsc: {
        target: 'es2022',
        parser: /\.[cm]?ts$/.test(file) ? { syntax: 'typescript', decorators: true }
          : { syntax: /tsx$/.test(file) ? 'typescript' : 'ecmascript', tsx: true, jsx: true, decorators: true },
        transform: {
          legacyDecorator: Boolean(given.experimentalDecorators), decoratorMetadata: Boolean(given.emitDecoratorMetadata),
          react: { runtime: 'automatic' },
        },
      },
    }).code);
  },
  babel(from) {
    const babel = tool(from, '@babel/core');
    const modules = installed('@babel/plugin-transform-modules-commonjs', from);
    return babel?.transformSync && ((text, file) => babel.transformSync(text, {
      filename: file, cwd: order.root, envName: 'test', sourceMaps: false, plugins: modules ? [modules] : [],
      caller: { name: 'plain', supportsStaticESM: false, supportsDynamicImport: false },
    }).code);
  },
  sucrase(from) {
    const sucrase = tool(from, 'sucrase');
    return sucrase?.transform && ((text, file) => sucrase.transform(text, {
      filePath: file, transforms: ['typescript', 'imports', ...(/x$/.test(file) ? ['jsx'] : [])], production: true,
      jsxRuntime: 'automatic',
    }).code);
  },
};

function chosen(from) {
  const told = [...upwards(from)].filter((at) => at.startsWith(order.root))
    .map((at) => encode(json(path.join(at, 'package.json')))).join();
  const needsTypes = Object.keys(DECORATED).every((name) => configured(from)[name]);
  const hinted = HINTS.filter(([words]) => words.test(told)).map(([, name]) => name);
  const names = [...(needsTypes ? ['typescript', 'swc'] : []), ...hinted, 'typescript', 'esbuild', 'swc', 'sucrase', 'babel'];
  for (const name of new Set(names)) {
    const found = ways[name](from);
    if (found) return found;
  }
  return undefined;
}
const encode = JSON.stringify.bind(JSON);

/* A file by the conditions of `import`, for packages that let nobody require them. */
function imported(request, from) {
  const [name, inner] = request.match(/^((?:@[^/]+\/)?[^/]+)(?:\/(.*))?$/)?.slice(1) ?? [];
  const place = name && installed(name, from);
  if (!place) return undefined;
  const wanted = inner ? `./${inner}` : '.';
  const told = json(path.join(place, 'package.json')).exports;
  const table = typeof told === 'string' || Object.keys(told || {}).every((key) => !key.startsWith('.')) ? { '.': told } : told;
  for (const [key, value] of Object.entries(table)) {
    const [before, after] = key.split('*');
    const fits = after === undefined ? key === wanted : wanted.startsWith(before) && wanted.endsWith(after);
    let target = fits && value;
    while (target && typeof target === 'object') {
      target = Array.isArray(target) ? target[0]
        : target[['node', 'import', 'module-sync', 'default'].find((one) => target[one])];
    }
    const star = after === undefined ? '' : wanted.slice(before.length, wanted.length - after.length);
    if (typeof target === 'string') return path.join(place, target.replaceAll('*', star));
  }
  return undefined;
}

function* aliases(request, folder) {
  const { paths, pathsFrom, baseUrl } = configured(folder);
  for (const [pattern, targets] of Object.entries(paths || {})) {
    const [before, after] = pattern.split('*');
    const fits = after === undefined ? request === pattern : request.startsWith(before) && request.endsWith(after);
    const star = after === undefined ? '' : request.slice(before.length, request.length - after.length);
    if (fits) yield* targets.map((target) => path.resolve(pathsFrom, target.replace('*', star)));
  }
  if (baseUrl) yield path.resolve(baseUrl, request);
}

/* True for a file of another package; the project may itself lie as one. */
const isOfOthers = (file) => (file.startsWith(`${order.root}/`) ? file.slice(order.root.length) : file).includes('/node_modules/');

/* Folders that were moved: a file that is asked for below one lies in another. */
const redirected = [];
function newPlace(request, parent) {
  const from = parent?.filename;
  const place = path.isAbsolute(request) ? request
    : from && request.startsWith('.') ? path.resolve(path.dirname(from), request) : '';
  const [old, now] = redirected.find(([one]) => place.startsWith(`${one}/`)) ?? [];
  return old && now + place.slice(old.length).replace(/\.tsx?$/, '');
}

function hookResolution() {
  const original = Module._resolveFilename;
  const resolve = (request, parent, ...rest) => original(newPlace(request, parent) ?? request, parent, ...rest);
  const first = (names, rest) => {
    for (const name of names) {
      try {
        return resolve(name, ...rest);
      } catch {
        continue;
      }
    }
    return undefined;
  };
  const meant = (name) => (MEANT[path.extname(name)] || []).map((ending) => name.slice(0, -path.extname(name).length) + ending);
  Module._resolveFilename = (request, parent, ...rest) => {
    const from = parent?.filename;
    const isOwn = from && !isOfOthers(from);
    if (isOwn && !/^(?:\.|\/|node:)/.test(request) && !Module.builtinModules.includes(request)) {
      const found = first([...aliases(request, path.dirname(from))].flatMap((one) => [one, ...meant(one)]), [parent, ...rest]);
      if (found) return found;
    }
    try {
      return resolve(request, parent, ...rest);
    } catch (error) {
      const found = error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' && from ? imported(request, path.dirname(from))
        : isOwn && first(meant(request), [parent, ...rest]);
      if (!found) throw error;
      return found;
    }
  };
}

const kinds = new Map();
function isModulePackage(file) {
  const folder = path.dirname(file);
  if (!kinds.has(folder)) {
    const nearest = [...upwards(folder)].map((at) => path.join(at, 'package.json')).find(exists);
    kinds.set(folder, Boolean(nearest) && json(nearest).type === 'module');
  }
  return kinds.get(folder);
}

const outputs = new Map();
let hooked;
let compiledText;
/* Has files that a folder's tests load transformed from now on; false where there is nothing to do it with. */
module.exports = function transforming(folder) {
  if (hooked !== undefined) return hooked;
  const transform = chosen(folder);
  hooked = Boolean(transform);
  if (!transform) return hooked;
  compiledText = (file, text) => {
    const own = text.replace(/^#!.*/, '').replace(/\bimport\.meta\b/g, '__meta');
    return META + transform(own, file, configured(path.dirname(file)));
  };
  const compile = (module, file, text) => module._compile(compiledText(file, text), file, 'commonjs');
  hookResolution();
  for (const ending of TYPED) Module._extensions[ending] = (module, file) => compile(module, file, read(file, 'utf8'));
  const plain = Module._extensions['.js'];
  const canLoad = (file) => isOfOthers(file) && process.features.require_module;
  Module._extensions['.js'] = Module._extensions['.mjs'] = (module, file) => {
    if (outputs.has(file)) return module._compile(outputs.get(file), file, 'commonjs');
    if (canLoad(file)) return plain(module, file);
    const text = read(file, 'utf8');
    const isModule = file.endsWith('.mjs') || isModulePackage(file) || IS_MODULE.test(text);
    return isModule ? compile(module, file, text) : plain(module, file);
  };
  return hooked;
};
/* Text of a source as the file that it is compiled to, which is loaded as that from now on. */
module.exports.output = (file, place) => {
  outputs.set(place, compiledText(file, read(file, 'utf8')));
  return outputs.get(place);
};
module.exports.redirect = (from, to) => redirected.push([from, to]);
module.exports.configured = configured;
module.exports.isHooked = () => Boolean(hooked);
module.exports.installed = installed;
module.exports.isTyped = (file) => TYPED.includes(path.extname(file));
