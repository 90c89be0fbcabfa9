"""Canaries for the runners of JavaScript, read by Node: a canary that does not parse would break every test's run."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.grading.integrity.canaries import plant_canaries
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    content: str


BODY = "('shouts', (t) => { expect(shout('Ana')).toBe('HELLO ANA'); });\n"
CASES = (
    Case(
        "mocha", "test/accept.js", "describe('a', function () {\n  it('is loud', function (done) { done(); });\n});\n"
    ),
    Case("mocha by name", "test/accept.js", "const { describe, it } = require('mocha');\nit" + BODY),
    Case("mocha, tdd", "test/accept.cjs", "'use strict'\nsuite('a', () => {\n  test" + BODY.strip() + "\n});\n"),
    Case("jest", "src/accept.test.js", "const shout = require('./app');\ntest.each([1])" + BODY),
    Case("jest by name", "accept.test.mjs", "import { expect, test } from '@jest/globals';\ntest" + BODY),
    Case("vitest", "accept.spec.mjs", 'import { describe, it } from "vitest"\ndescribe("a", () => { it' + BODY + "})"),
    Case("node:test", "accept.test.js", "const test = require('node:test');\nconst works = 1;\ntest" + BODY),
    Case("node:test, modules", "accept.test.mjs", "import test, { it } from 'node:test';\nit" + BODY),
    Case("ava", "accept.mjs", "import test from 'ava';\ntest.serial" + BODY),
    Case("tap", "accept.cjs", "const { test } = require('tap')\ntest('a', async t => { t.plan(0) })"),
    Case("tap, modules", "accept.mjs", "import t from 'tap'\nt.test('a', t => { t.end() })\n"),
    Case("tape", "accept.js", "var tape = require('tape');\ntape.test('a', function (t) { t.end(); });\n"),
    Case("bun", "accept.test.mjs", "import { test } from 'bun:test';\ntest" + BODY),
)


@pytest.mark.parametrize("alone", [False, True], ids=["with a copy", "alone"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_canary_is_a_program(case: Case, tmp_path: Path, *, alone: bool) -> None:
    assert shutil.which("node"), "Node is not installed: .ci/bootstrap node brings it"
    sealed = SealedTests(files=(SealedFile(path=case.path, content=case.content, criteria=("AC1",)),))
    (canary,) = plant_canaries(sealed, (), alone=alone).canaries
    assert (case.content in canary.content) is not alone
    file = tmp_path / canary.path.rpartition("/")[2]
    file.write_text(canary.content)
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
