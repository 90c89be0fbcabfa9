"""Runs with fewer tests: left out is only what nothing that counts can depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.integration.grading.test_languages import NODE, grade_in
from tests.support.repositories import first_commit

from phasegate.infra.grading.runner.narrowing import undisturbed_tests
from phasegate.infra.workspace import Repository

_FILES = {
    "app.js": "exports.greet = (name) => `Hello ${name}`;\n",
    "test/helper.js": "exports.expected = 'Hello Ana';\n",
    "test/one.test.js": "const { expected } = require('./helper.js');\n",
    "test/two.test.js": "require('../app.js');\n",
    "test/setup.js": "",
    "vitest.config.ts": "export default { test: { setupFiles: ['test/setup.js'] } };\n",
}


@dataclass(frozen=True)
class Case:
    name: str
    own: Mapping[str, str]
    left_out: set[str] = field(default_factory=set[str])
    command: str = "npx vitest run"


CASES = [
    Case("a new file", {"test/new.test.js": "require('../app.js');\n"}, {"test/one.test.js", "test/two.test.js"}),
    Case("a new file that needs an old one", {"test/new.test.js": "import './two.test.js';\n"}, {"test/one.test.js"}),
    Case("another helper", {"test/helper.js": "exports.expected = 1;\n"}, {"test/two.test.js"}),
    Case("an old file", {"test/one.test.js": "\n"}, {"test/two.test.js"}),
    Case("a file that the settings name", {"test/setup.js": "global.x = 1;\n"}),
    Case("data", {"test/data.json": "{}\n"}),
    Case("a stand-in for a module", {"test/__mocks__/fs.js": "module.exports = {};\n"}),
    Case("a runner with one process", {"test/new.test.js": ""}, command="npx mocha"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_that_own_tests_cannot_disturb(tmp_path: Path, case: Case) -> None:
    first_commit(tmp_path, {**_FILES, **case.own})
    repository = Repository.open(tmp_path)
    sealed = {"test/accept.test.js": "require('../app.js');\n"}
    collected = {"test/one.test.js", "test/two.test.js"}
    found = undisturbed_tests(repository, repository.base().commit, collected, set(case.own), sealed, case.command)
    assert found == case.left_out


def test_own_tests_that_break_an_old_one_through_a_helper_stay_out(tmp_path: Path) -> None:
    """Mutation tried: files that load a changed one were left out."""
    helper = "exports.expected = 'Hello Ana';\n"
    old = NODE.files["test/app.test.js"].replace("'Hello Ana'", "require('./helper.js').expected")
    language = replace(NODE, files={**NODE.files, "test/helper.js": helper, "test/app.test.js": old})
    own = "const { test } = require('node:test');\nrequire('./helper.js');\n\ntest('is new', () => {});\n"
    change = {**NODE.change, "test/new.test.js": own, "test/helper.js": "exports.expected = 'Hullo';\n"}
    evidence = grade_in(language, tmp_path, change, coverage=False)
    assert (evidence.verdict, evidence.entered) == ("passed", ())
    assert "own-tests-left-out" in {finding.code for finding in evidence.findings}
