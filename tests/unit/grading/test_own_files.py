from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.repositories import first_commit, write_files

from phasegate.infra.grading.evidence import Counts, Evidence
from phasegate.infra.grading.integrity.go_imports import importers
from phasegate.infra.grading.integrity.go_packages import choose_packages
from phasegate.infra.grading.integrity.own_files import own_test_files
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.unwatched_summary import Unwatched
from phasegate.infra.workspace import Repository

GREETS = "test('greets', () => {});\n"
COMPUTED = "for (const name of names) test(name + '!', () => {});\n"


@dataclass(frozen=True)
class Case:
    files: Mapping[str, str]
    tests: tuple[str, ...]
    found: frozenset[str]


CASES = {
    "node:test": Case(
        {"test/a.test.js": GREETS, "test/helper.js": "exports.a = 1;\n", "app.js": "'greets'"},
        ("test::greets",),
        frozenset({"test/a.test.js"}),
    ),
    "a title inside of a suite, with an apostrophe": Case(
        {"test/a.test.ts": 'it("doesn\'t greet", () => {});\n', "test/b.test.ts": "it('is loud', () => {});\n"},
        ("app::greeting doesn't greet",),
        frozenset({"test/a.test.ts"}),
    ),
    "an assertion of TAP": Case({"test/a.js": GREETS}, ("greets::should be equal",), frozenset({"test/a.js"})),
    "titles that are put together": Case(
        {
            "test/a.test.js": COMPUTED,
            "test/fixtures/a.js": "process.exit(1);\n",
            "tests/test_a.py": "def test_a(): 0\n",
        },
        ("test::A!",),
        frozenset({"test/a.test.js", "tests/test_a.py"}),
    ),
    "a file that the report names": Case(
        {"tests/test_a.py": "def test_a(): 0\n"}, ("tests.test_a::test_a",), frozenset()
    ),
    "a prefix before the module": Case(
        {"tests/test_a.py": "def test_a(): 0\n", "tests/conftest.py": "test_a = 1\n", "tests/test_b.py": ""},
        ("py311.tests.test_a::test_a[1-2]",),
        frozenset({"tests/test_a.py"}),
    ),
    "modules that the class fits alike": Case(
        {"a/tests/test_a.py": "class A:\n    def test_a(self): 0\n", "b/tests/test_a.py": "def test_b(): 0\n"},
        ("test_a.A::test_a",),
        frozenset({"a/tests/test_a.py"}),
    ),
    "a module in a folder": Case(
        {"go/a_test.go": "func TestA(t *testing.T) {}\n", "go/b_test.go": "func TestB(t *testing.T) {}\n"},
        ("example.com/app::TestA/one",),
        frozenset({"go/a_test.go"}),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_files_are_found_by_titles(tmp_path: Path, case: Case) -> None:
    first_commit(tmp_path, case.files)
    repository = Repository.open(tmp_path)
    base = repository.base().commit
    cases = [TestCase(name, None, "passed") for name in case.tests]
    assert own_test_files(repository, base, GradedTree(base), cases, (), ()) == case.found


def test_go_packages_of_changed_files_are_built_besides_those_of_sealed_tests() -> None:
    sealed = [f"s{number}/a_test.go" for number in range(5)]
    own = ["z/z_test.go", "a/a_test.go", "s4/b_test.go"]
    assert choose_packages(sealed, own, ["z/z.go", "s4/s.go"]) == (["s0", "s1", "s2", "s3", "s4", "z"], [])
    assert choose_packages(sealed, own, ["z/z.go"]) == (["s0", "s1", "s2", "s3", "z"], ["s4"])


def test_tests_of_go_packages_that_a_change_reaches_are_built_and_no_others(tmp_path: Path) -> None:
    module = "module example.com/app\n"
    files = {
        "go.mod": module,
        "b/b.go": "package b\n",
        "between/between.go": 'package between\n\nimport "example.com/app/b"\n',
        "far/far.go": 'package far\n\nimport (\n\t"fmt"\n\tother "example.com/app/between"\n)\n',
        "tested/tested.go": "package tested\n",
        "tested/tested_test.go": 'package tested\n\nimport _ "example.com/app/far"\n',
        "through/through.go": 'package through\n\nimport "example.com/app/tested"\n',
        "spoken/spoken.go": 'package spoken\n\nfunc name() string { return "example.com/app/b" }\n',
        "tools/go.mod": "module example.com/app/tools\n",
        "tools/lint/lint.go": 'package lint\n\nimport "example.com/app/b"\n',
        "vendor/x/x.go": 'package x\n\nimport "example.com/app/b"\n',
    }
    write_files(tmp_path, files)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "linked.go").symlink_to(tmp_path / "far" / "far.go")
    reached = importers(tmp_path, {"b"})
    assert reached == {"between", "far", "tested", "tools/lint"}
    own = ["spoken/a_test.go", "tested/tested_test.go", "far/far_test.go"]
    assert choose_packages(["s/a_test.go"], own, ["b/b.go"], reached)[0] == ["s", "far", "tested"]
    assert choose_packages(["s/a_test.go"], own, ["c/c.go"])[0] == ["s", "far"]
    assert choose_packages(["s/a_test.go"], ["s/b_test.go", *own], ["c/c.go"])[0] == ["s"]


@pytest.mark.parametrize(
    ("unwatched", "lines"),
    [
        (Unwatched(compared=1, own=3), []),
        (Unwatched(compared=1), ["None of the project's own 3 tests could be compared."]),
        (Unwatched(compared=1, own=1, unbuilt=("a/b",)), ["Tests left out, of too many packages: `a/b`."]),
    ],
)
def test_the_page_says_what_was_not_compared(unwatched: Unwatched, lines: list[str]) -> None:
    counts = Counts(project_passed_on_base=3, project_still_passing=3, sealed=1, sealed_passed=1)
    page = Evidence(
        verdict="passed", change="c", sealed_tests="s", criteria=(), counts=counts, unwatched=unwatched
    ).markdown()
    assert [line for line in page.splitlines() if "compared" in line or "left out, of" in line] == lines
