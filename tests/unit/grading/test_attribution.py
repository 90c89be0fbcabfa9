from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.runner.attribution import attribute, files_of
from phasegate.infra.grading.runner.junit import Status, TestCase
from phasegate.infra.grading.runner.named_cases import cases_of
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests


@pytest.mark.parametrize(
    ("path", "content", "sealed", "project"),
    [
        ("src/test/app/AcceptTest.java", "@Test void total() {}", "app.AcceptTest::total()", "app.AppTest::total()"),
        ("test/accept.test.js", "test('adds', () => add(1))", "test::adds", "test::add"),
        ("accept_test.go", "func TestAdds(t *testing.T) {}", "shop::TestAdds", "shop::TestAdd"),
    ],
)
def test_a_test_of_the_project_that_is_called_almost_the_same(
    path: str, content: str, sealed: str, project: str
) -> None:
    cases = [TestCase(id, None, "passed") for id in (sealed, project)]  # noqa: A001 - a test's id
    tests = SealedTests(files=(SealedFile(path=path, content=content, criteria=("AC1",)),))
    told = attribute(cases, tests, ["src/test/app/AppTest.java", "test/app.test.js", "app_test.go"], ())
    assert [case.id for case in told.sealed[path]] == [sealed]
    assert [case.id for case in told.project] == [project]


@pytest.mark.parametrize(
    ("path", "content", "known", "cases", "sealed", "project"),
    [
        (
            "test/accept.js",
            "t.test('adds', t => t.ok(1))",
            ["tap::adds"],
            {"tap::adds": "failed", "tap::adds #2": "passed"},
            {"tap::adds #2": "failed"},
            {"tap::adds": "passed"},
        ),
        (
            "tests/accept.rs",
            "#[test] fn adds() {}",
            ["shop::old::adds"],
            {"shop::old::adds": "passed", "shop::accept::adds": "failed"},
            {"shop::accept::adds": "failed"},
            {"shop::old::adds": "passed"},
        ),
        (
            "test/accept.js",
            "describe('shout', () => { it('is loud', () => {}) })",
            ["one::is 1"],
            {"one::is 1": "passed", "Root::shout is loud": "failed"},
            {"Root::shout is loud": "failed"},
            {"one::is 1": "passed"},
        ),
        ("test/accept.js", "test('adds')", ["t::adds"], {"t::adds": "passed"}, {}, {"t::adds": "passed"}),
        (
            "test/accept.js",
            "const app = require('..')\nimport x from '../lib'\nimport('../b')\ntest('adds', () => {})",
            [],
            {"resolve::..": "passed", "resolve::../lib": "passed", "resolve::../b": "passed", "t::adds": "passed"},
            {"t::adds": "passed"},
            {"resolve::..": "passed", "resolve::../lib": "passed", "resolve::../b": "passed"},
        ),
    ],
)
def test_reports_without_files_are_told_apart_by_what_the_sealed_file_adds(
    path: str,
    content: str,
    known: list[str],
    cases: dict[str, Status],
    sealed: dict[str, Status],
    project: dict[str, Status],
) -> None:
    tests = SealedTests(files=(SealedFile(path=path, content=content, criteria=("AC1",)),))
    told = attribute([TestCase(id_, None, status) for id_, status in cases.items()], tests, [], known)
    assert {case.id: case.status for case in told.sealed[path]} == sealed
    assert {case.id: case.status for case in told.project} == project


@dataclass(frozen=True)
class Named:
    """A test as a runner names it, and the file that it is from."""

    case: TestCase
    file: str | None


NAMED = (
    Named(TestCase("Default::accept › shouts", None, "passed"), "test/accept.js"),
    Named(TestCase("Default::unit › parse › shouts", None, "passed"), "test/unit/parse.test.js"),
    Named(TestCase("Default::parse › shouts", None, "passed"), "test/unit/parse.test.js"),
    Named(TestCase("Default::twin › shouts", None, "passed"), None),
    Named(TestCase("Default::a › twin › shouts", None, "passed"), "test/a/twin.js"),
    Named(TestCase("shop::shouts", "test/unit/parse.test.js", "passed"), "test/unit/parse.test.js"),
    Named(TestCase("shop::shouts", "unit/parse.test.js", "passed"), "test/unit/parse.test.js"),
    Named(TestCase("shop::shouts", "twin.js", "passed"), None),
    Named(TestCase("Default::shouts › parse", None, "passed"), None),
)


@pytest.mark.parametrize("named", NAMED, ids=lambda named: f"{named.case.id} {named.case.file}")
def test_files_in_the_names_that_runners_of_javascript_give(named: Named) -> None:
    paths = ["test/accept.js", "test/unit/parse.test.js", "test/a/twin.js", "test/b/twin.js", "app.js"]
    assert files_of([named.case], paths) == ({named.file} if named.file else set())


@pytest.mark.parametrize(
    "id_",
    [
        "tests.test_accept::test_it",
        "tests.test_accept.TestIt::test_it",
        "test_accept.TestIt::test_it",
        "unittest.loader._FailedTest::tests.test_accept",
        "unittest.loader._FailedTest::test_accept",
        "::tests.test_accept",
    ],
)
def test_a_python_test_is_known_by_its_module_wherever_discovery_starts(id_: str) -> None:
    sealed = SealedFile(path="tests/test_accept.py", content="", criteria=("AC1",))
    told = attribute(
        [TestCase(id_, None, "error"), TestCase("test_app.TestIt::test_it", None, "passed")],
        SealedTests(files=(sealed,)),
        ["tests/test_app.py", "tests/test_twin.py", "lib/test_twin.py"],
        (),
    )
    assert [case.id for case in told.sealed[sealed.path]] == [id_]
    assert [case.id for case in told.project] == ["test_app.TestIt::test_it"]


def test_modules_of_one_name_are_not_taken_for_each_other() -> None:
    paths = ["tests/test_app.py", "a/test_twin.py", "b/test_twin.py"]
    cases = [TestCase(f"{name}.TestIt::test_it", None, "passed") for name in ("test_app", "test_twin", "b.test_twin")]
    assert files_of(cases, paths) == {"tests/test_app.py", "b/test_twin.py"}


@pytest.mark.parametrize("start", ["tests.test_app", "test_app"])
def test_an_amended_test_is_found_wherever_discovery_starts(start: str) -> None:
    cases = [
        TestCase(f"{start}.TestIt::test_it", None, "passed"),
        TestCase("lib.test_app.TestIt::test_it", None, "passed"),
    ]
    found = cases_of("tests/test_app.py", "TestIt::test_it", cases, ["tests/test_app.py", "lib/test_app.py"])
    assert found == cases[:1]
