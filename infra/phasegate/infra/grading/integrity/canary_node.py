"""Canaries for the runners of JavaScript and TypeScript.

Known are node:test, mocha, jest, vitest, jasmine, bun, ava, tap and tape. The sealed file's text tells its runner and
its module system. Called by `canaries`. It must not know how tests are run.
"""

from __future__ import annotations

import re
import secrets

_MODULES = {
    "node:test": "test",
    "vitest": "test",
    "@jest/globals": "test",
    "bun:test": "test",
    "mocha": "it",
    "tap": "test",
    "ava": "default",
    "tape": "default",
}
"""Runners that a test file imports, and the export that declares a test."""
_OTHER_RUNNERS = ("lab", "@hapi/lab", "uvu", "zora", "qunit", "@playwright/test", "cypress", "tapable", "bare-tap")
_TITLE = re.compile(r"(?<![\w.])(?:test|it|specify)\(\s*['\"`]([\w ,:-]+)['\"`]")
_GLOBALS = ("it", "test", "specify")


def node_canary(source: str, word: str, *, alone: bool) -> tuple[str, str] | None:
    """Write a test that fails at the end of a copy of the sealed file, each file having a process of its own.

    Args:
        source: A test file of JavaScript or TypeScript.
        word: Part of the new test's title.
        alone: True if nothing of the sealed file may be in it.

    Returns:
        The file and the test's title, or `None` if the file's runner is not known.
    """
    title = f"{secrets.choice(_TITLE.findall(source) or ['works'])}, {word}"
    # `.only` would keep the new test from running, and a copied snapshot is a new one
    copied = "" if alone or re.search(r"\.only\(|toMatch\w*Snapshot\(|\.snapshot\(", source) else f"{source}\n"
    number, alias = secrets.randbelow(90), f"{word}Test"
    thrown = f"() => {{\n  throw new Error('{number} is not {word}');\n}}"
    imported = next((name for name in _MODULES if _requires(source, name) or _imports(source, name)), "")
    if imported:
        body = f"t => {{\n  t.equal({number}, {number + 1});\n  t.end();\n}}" if imported in ("tap", "tape") else thrown
        declared = _declaration(imported, alias, with_require=_requires(source, imported))
        return f"{copied}{declared}\n\n{alias}('{title}', {body});\n", title
    if any(_requires(source, name) or _imports(source, name) for name in _OTHER_RUNNERS):
        return None
    uses = [name for name in _GLOBALS if re.search(rf"(?<![\w.$]){name}(?:\.\w+)*\(", source)]
    if not uses:
        return None
    # a file whose names are no module's own (TypeScript) is global, and a copy would declare everything twice
    return f"{copied}\n{uses[0]}('{title}', {thrown});\n", title


def _declaration(module: str, alias: str, *, with_require: bool) -> str:
    export = _MODULES[module]
    if with_require:
        names = alias if export == "default" else f"{{ {export}: {alias} }}"
        return f"const {names} = require('{module}');"
    names = alias if export == "default" else f"{{ {export} as {alias} }}"
    return f"import {names} from '{module}';"


def _requires(source: str, module: str) -> bool:
    return re.search(rf"\brequire\(\s*['\"]{re.escape(module)}['\"]\s*\)", source) is not None


def _imports(source: str, module: str) -> bool:
    return re.search(rf"\b(?:from|import)\s*['\"]{re.escape(module)}['\"]", source) is not None
