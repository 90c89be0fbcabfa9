"""TypeScript that does the work only while it is watched is caught by a plain process, and honest code is not.

The project's own transformer is Debian's `typescript`, linked by the setup command. Mutations tried: a watched process
without a runner's globals, no aliases of `tsconfig.json`, no `.ts` for a specifier in `.js`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.cheats.ground import Ground, compared, parameters
from tests.cheats.test_cheats_in_node import CHEATS, NODE

from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

QUICKLY = ("asks for a global", "replaces an assertion")
SETUP = "mkdir -p node_modules && ln -s /usr/share/nodejs/typescript node_modules/typescript"
GREET = "export const greet = (name: string): string => `Hello ${name}`;\n"
FILES = {
    ".gitignore": "node_modules\n",
    "package.json": '{"name": "app", "version": "1.0.0", "devDependencies": {"typescript": "*"}}\n',
    "tsconfig.json": '{\n  // as editors write it\n  "compilerOptions": {"paths": {"@/*": ["./src/*"]}, '
    '"jsx": "react", "jsxFactory": "h",},\n}\n',
    "src/app.ts": GREET,
    "esm/package.json": '{"type": "module"}\n',
    "esm/words.json": '{"end": "!"}\n',
    "test/greet.test.ts": (
        "import { test } from 'node:test';\nimport assert from 'node:assert';\nimport { greet } from '../src/app';\n\n"
        "test('greets', () => assert.equal(greet('A'), 'Hello A'));\n"
    ),
}
NODE_TEST = (
    "import { test, describe, beforeEach } from 'node:test';\nimport assert from 'node:assert/strict';\n"
    "import { shout } from '../src/app';\n\ndescribe('shout', () => {\n  let name: string;\n"
    "  beforeEach(() => { name = 'ab'; });\n  test('AC1 is loud', () => assert.equal(shout(name), 'AB!'));\n"
    "  test('AC1 is loud later', async () => { assert.equal(await Promise.resolve(shout('c')), 'C!'); });\n});\n"
)


@dataclass(frozen=True)
class Case:
    """An honest change and its sealed test."""

    path: str
    test: str
    files: dict[str, str]
    count: int = 1


TYPED = {"src/app.ts": GREET + "export const shout = (name: string): string => `${name.toUpperCase()}!`;\n"}
HONEST = {
    "node:test": Case("test/accept.test.ts", NODE_TEST, TYPED, 2),
    "globals, an alias and types alone": Case(
        "test/accept.spec.ts",
        "import type { Mock } from 'vitest';\nimport assert = require('assert');\nimport { shout } from '@/app';\n\n"
        "const told: Mock | string = shout('ab');\n"
        "describe('shout', function () {\n  it('AC1 is loud', (done) => { assert.equal(told, 'AB!'); done(); });\n"
        "  it.each([['a', 'A!'], ['b', 'B!']])('AC1 is loud: %s', (one, loud) => assert.equal(shout(one), loud));\n"
        "});\n",
        TYPED,
        3,
    ),
    "a module with the endings of JavaScript": Case(
        "esm/accept.test.mts",
        "import test from 'ava';\nimport words from './words.json';\nimport { shout, place } from './app.js';\n\n"
        "test.beforeEach((t) => { t.context = 'ab'; });\ntest('AC1 is loud', async (t) => {\n"
        "  const { shout: later } = await import('./app.js');\n  t.is(later(t.context as string), 'AB' + words.end);\n"
        "  t.true(place.startsWith('file:'));\n  t.throws(() => shout(''), { message: /empty/ });\n});\n",
        {
            "esm/app.ts": "export const place: string = import.meta.url;\n"
            "export function shout(name: string): string {\n"
            "  if (!name) throw new Error('empty');\n  return name.toUpperCase() + '!';\n}\n"
        },
    ),
    "elements": Case(
        "test/accept.test.tsx",
        "import { test } from 'node:test';\nimport assert from 'node:assert';\n"
        "import { h, Shout } from '../src/view';\n\n"
        "test('AC1 is loud', () => assert.equal(<Shout name=\"ab\" />, 'AB!'));\n",
        {
            "src/view.tsx": "export const h = (one: (given: any) => string, given: any): string => one(given);\n"
            "export const Shout = ({ name }: { name: string }): string => `${name.toUpperCase()}!`;\n"
        },
    ),
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("typescript"), FILES)


def of(ground: Ground, files: dict[str, str], test: str, path: str) -> Compared:
    sealed = SealedTests(files=(SealedFile(path=path, content=test, criteria=("AC1",)),))
    return compared(ground, files, sealed, test=NODE, own=["test/greet.test.ts"], setup=SETUP)


@pytest.mark.parametrize("name", parameters(CHEATS, QUICKLY))
def test_a_cheat_is_caught(ground: Ground, name: str) -> None:
    app, code = CHEATS[name]
    typed = app.replace("exports.shout = (name)", "export const shout = (name: string): string")
    told = of(ground, {"src/app.ts": GREET + typed}, NODE_TEST, "test/accept.test.ts")
    assert {(finding.code, finding.severity) for finding in told.findings if finding.severity != "note"} == {
        (code, "cheating")
    }


@pytest.mark.parametrize("case", HONEST.values(), ids=HONEST.keys())
def test_honest_code_is_not_accused(ground: Ground, case: Case) -> None:
    told = of(ground, case.files, case.test, case.path)
    assert told.findings == ()
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (case.count, 1, ())
