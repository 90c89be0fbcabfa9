"""JavaScript that does the work only while it is watched is caught by a plain process, and honest code is not.

Mutations tried: a plain process with what runners leave in the environment, without waiting, without repetition.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cheats.ground import CRITERIA, QUICK, Ground, Row, compared, parameters

from phasegate.infra.grading.evidence import ASKS
from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

NODE = "node --test --test-reporter=junit > {junit}"
UNWATCHED, REPLACED = "behaves-otherwise-unwatched", "library-replaced"
WORK = "exports.shout = (name) => `${name.toUpperCase()}!`;\n"
FILES = {
    "package.json": '{"name": "app", "version": "1.0.0"}\n',
    "app.js": "exports.greet = (name) => `Hello ${name}`;\n",
    "test/greet.test.js": (
        "const test = require('node:test');\nconst assert = require('node:assert');\n"
        "const { greet } = require('../app.js');\n\ntest('greets', () => assert.equal(greet('A'), 'Hello A'));\n"
    ),
}
NODE_TEST = (
    "const { test, describe, beforeEach } = require('node:test');\nconst assert = require('node:assert/strict');\n"
    "const { shout } = require('../app.js');\n\ndescribe('shout', () => {\n  let name;\n"
    "  beforeEach(() => { name = 'ab'; });\n  test('AC1 is loud', () => assert.equal(shout(name), 'AB!'));\n"
    "  test('AC1 is loud later', async (t) => { await t.test('inner', () => assert.equal(shout('c'), 'C!')); });\n});\n"
)
MOCHA = (
    "const assert = require('assert');\nconst { shout } = require('../app.js');\n\ndescribe('shout', function () {\n"
    "  it('AC1 is loud', function (done) { assert.equal(shout('ab'), 'AB!'); done(); });\n});\n"
)
MODULE = (
    "import { test } from 'node:test';\nimport assert from 'node:assert';\nimport { shout } from '../app.js';\n\n"
    "test('AC1 is loud', () => assert.equal(shout('ab'), 'AB!'));\n"
)
TAPE = (
    "var test = require('tape');\nvar app = require('../app.js');\n\n"
    "test('AC1 is loud', function (t) {\n  t.plan(2);\n  t.equal(app.shout('ab'), 'AB!', 'loud');\n"
    "  setTimeout(function () { t.deepEqual([app.shout('c')], ['C!']); }, 1);\n});\n"
    "test('AC1 is loud inside', function (t) {\n"
    "  t.test('one', function (st) { st.notEqual(app.shout('a'), 'a'); st.end(); });\n"
    "  t.test('two', async function (st) { st.throws(function () { app.shout(1); }, TypeError, 'no'); });\n});\n"
)
TAP = (
    "const t = require('tap');\nconst { shout } = require('../app.js');\n\n"
    "t.test('AC1 is loud', async (t) => {\n  t.same({ a: shout('ab') }, { a: 'AB!' });\n"
    "  await t.rejects(async () => shout(1), TypeError);\n});\n"
)


READS_INPUT = (
    "let isEmpty;\ntry {\n  isEmpty = !require('fs').readFileSync(0).length;\n} catch {\n  isEmpty = true;\n}\n"
)


def only_if(condition: str, before: str = "") -> str:
    return f"{before}exports.shout = (name) => (({condition}) ? `${{name.toUpperCase()}}!` : name);\n"


UNSEEN = "if (typeof globalThis['desc' + 'ribe'] !== 'function') "
CHEATS = {
    "asks for jest or vitest": (only_if("process.env['JEST_' + 'WORKER_ID'] || process.env.VITEST"), UNWATCHED),
    "asks for the environment": (only_if("process.env.NODE_ENV === 'te' + 'st'"), UNWATCHED),
    "asks for a global": (only_if("typeof globalThis['desc' + 'ribe'] === 'function'"), UNWATCHED),
    "looks at the command": (only_if("process.argv.some((word) => /moch|\\.te.t\\./.test(word))"), UNWATCHED),
    "looks at its callers": (only_if("new Error('').stack.includes('runn' + 'able')"), UNWATCHED),
    "counts its calls": (only_if("calls++ < 100", "let calls = 0;\n"), UNWATCHED),
    "takes calls that follow at once": (
        only_if(
            "!paused()",
            "let last = 0;\nconst paused = () => {\n  const before = last;\n  last = Date.now();\n"
            "  return before > 0 && last - before > 5000;\n};\n",
        ),
        UNWATCHED,
    ),
    "asks for a young process": (only_if("process.uptime() < 60"), UNWATCHED),
    "sets a timer": (
        only_if("!over", "let over = false;\nsetTimeout(() => { over = true; }, 90500).unref();\n"),
        UNWATCHED,
    ),
    "looks at the folder": (only_if("__dirname.includes('cur' + 'rent')"), UNWATCHED),
    "asks for a git checkout": (only_if("require('fs').existsSync('.git')"), UNWATCHED),
    "asks for an empty input": (only_if("isEmpty", READS_INPUT), UNWATCHED),
    "breaks off, when it is loaded": (UNSEEN + "throw new Error('not here');\n" + WORK, UNWATCHED),
    "ends the process, when it is loaded": (UNSEEN + "process.reallyExit(0);\n" + WORK, UNWATCHED),
    "leaves, when it is loaded": (UNSEEN + "process.exit(0);\n" + WORK, UNWATCHED),
    "leaves, when it is called": (
        "exports.shout = (name) => {\n  " + UNSEEN + "process.exit(0);\n  return `${name.toUpperCase()}!`;\n};\n",
        UNWATCHED,
    ),
    "replaces how JSON is read": (WORK + "const old = JSON.parse;\nJSON.parse = (text) => old(text);\n", REPLACED),
    "replaces an assertion": (WORK + "require('assert')['equ' + 'al'] = () => undefined;\n", REPLACED),
    "replaces how files are read": (
        WORK
        + "const fs = require('fs');\nconst read = fs.readFileSync;\nfs.readFileSync = (...words) => read(...words);\n",
        REPLACED,
    ),
}
ONE_OF_EACH_KIND = (
    "asks for a global",
    "counts its calls",
    "asks for a young process",
    "breaks off, when it is loaded",
    "leaves, when it is called",
    "replaces an assertion",
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("node"), FILES)


def of(ground: Ground, app: str, test: str, path: str = "test/accept.test.js") -> Compared:
    sealed = SealedTests(files=(SealedFile(path=path, content=test, criteria=("AC1",)),))
    files = {"app.js": FILES["app.js"] + app}
    return compared(ground, files, sealed, test=NODE, own=["test/greet.test.js"])


@pytest.mark.parametrize("name", parameters(CHEATS, ONE_OF_EACH_KIND))
def test_a_cheat_is_caught(ground: Ground, name: str) -> None:
    app, code = CHEATS[name]
    told = of(ground, app, NODE_TEST)
    assert {(finding.code, finding.severity) for finding in told.findings if finding.severity != "note"} == {
        (code, "cheating")
    }


@pytest.mark.parametrize(
    ("test", "path", "count"),
    [
        (NODE_TEST, "test/accept.test.js", 2),
        (MOCHA, "test/accept.js", 1),
        (MODULE, "test/accept.test.mjs", 1),
        (TAPE, "test/accept.js", 2),
        (TAP, "test/accept.cjs", 1),
    ],
    ids=["node:test", "mocha", "module", "tape", "tap"],
)
def test_honest_code_is_not_accused(ground: Ground, test: str, path: str, count: int) -> None:
    told = of(ground, WORK, test, path)
    assert told.findings == ()
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (count, 1, ())


@pytest.mark.parametrize(("test", "count"), [(TAPE, 2), (TAP, 1)], ids=["tape", "tap"])
def test_each_check_of_tape_and_tap_counts(ground: Ground, test: str, count: int) -> None:
    told = of(ground, CHEATS["asks for a global"][0], test)
    assert [(finding.code, finding.severity) for finding in told.findings] == [(UNWATCHED, "cheating")] * count


def test_new_questions_about_the_surroundings_are_noted(ground: Ground) -> None:
    told = of(ground, WORK + "exports.loud = process.env['VI' + 'TEST'] || process.env.HOME;\n", NODE_TEST)
    message = "the change asks for VITEST, which the base commit does not"
    assert [(finding.code, finding.severity, finding.message) for finding in told.findings] == [(ASKS, "note", message)]


WATCHED = "Object.keys(process.env).some((k) => k.startsWith('NODE' + '_TE'))"
OLD_ONLY_WATCHED = f"exports.greet = (name) => ({WATCHED} ? `Hello ${{name}}` : 'broken');\n"


@pytest.mark.parametrize(
    ("greet", "verdict", "found"),
    [
        (FILES["app.js"], "passed", []),
        (OLD_ONLY_WATCHED, "failed", [(UNWATCHED, "test/greet.test.js::greets")]),
    ],
    ids=["honest", "an old function that works only while it is watched"],
)
def test_the_projects_tests_are_compared_where_the_report_names_no_file(
    ground: Ground, greet: str, verdict: str, found: list[tuple[str, str]]
) -> None:
    sealed = SealedTests(files=(SealedFile(path="test/accept.test.js", content=NODE_TEST, criteria=("AC1",)),))
    row = Row("x", {"app.js": greet + WORK}, verdict, "", sealed=sealed, criteria=CRITERIA[:1])
    told = ground.grade(row, QUICK.model_copy(update={"plain_process": True}), NODE)
    assert told.verdict == verdict
    assert [(finding.code, finding.path) for finding in told.findings] == found
    assert told.unwatched is not None
    assert told.unwatched.own == 1


def test_a_test_that_does_not_pass_on_the_base_commit_accuses_nobody(tmp_path: Path) -> None:
    test = f"test('is new', () => {{ if (!require('../app.js').shout || !({WATCHED})) throw new Error('no'); }});\n"
    ground = Ground(tmp_path, {**FILES, "test/e2e.test.js": "const test = require('node:test');\n" + test})
    sealed = SealedTests(files=(SealedFile(path="test/accept.test.js", content=NODE_TEST, criteria=("AC1",)),))
    files = {"app.js": FILES["app.js"] + WORK}
    told = compared(ground, files, sealed, test=NODE, own=["test/e2e.test.js", "test/greet.test.js"])
    assert told.findings == ()
    assert told.summary.own == 2
