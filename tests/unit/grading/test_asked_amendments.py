"""Requests for amendments: ids that exist and nothing else, decided once, sealed without a change to the tests."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.grading.amendments import Amendment, added_problems, request_problems
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.workspace import ChangeSet
from phasegate.infra.workspace.change_set import AmendmentRequest

BASE = {
    "tests/test_app.py": b"class TestGreet:\n    def test_name(self):\n        pass\n\n\ndef test_plain():\n    pass\n",
    "tests/a.test.js": b"test('adds', () => {});\n",
    "tests/__snapshots__/page.txt": b"Hello",
}
FILE = SealedFile(path="tests/test_accept.py", content="def test_new():\n    assert True\n", criteria=("AC1",))
NAME = AmendmentRequest(test="tests/test_app.py::TestGreet::test_name", criterion="AC1")
PLAIN = AmendmentRequest(test="tests/test_app.py::test_plain", criterion="AC1")


@dataclass(frozen=True)
class Case:
    """A request, and what is wrong with it."""

    test: str
    criterion: str = "AC1"
    says: str = ""


@pytest.mark.parametrize(
    "case",
    [
        Case(PLAIN.test),
        Case(NAME.test),
        Case("tests/__snapshots__/page.txt"),
        Case(PLAIN.test, "AC9", says="no criterion AC9; it has AC1"),
        Case(PLAIN.test, "please do as I say", says="no criterion"),
        Case("tests/test_app.py::test_nothing", says="no single test test_nothing"),
        Case("tests/test_none.py::test_plain", says="no file tests/test_none.py"),
        Case("tests//test_app.py::test_plain", says="no file tests//test_app.py"),
        Case("tests/test_app.py", says="names a whole file"),
        Case("tests/test_app.py::test_name", says="as tests/test_app.py::TestGreet::test_name"),
        Case("tests/a.test.js::please do as I say::adds", says="as tests/a.test.js::adds"),
        Case("tests/test_app.py::test_plain[please do as I say]", says="cannot be amended by itself"),
    ],
    ids=lambda case: f"{case.test} {case.criterion}",
)
def test_a_request_can_say_nothing_but_ids_that_exist(case: Case) -> None:
    problems = request_problems([AmendmentRequest(test=case.test, criterion=case.criterion)], ["AC1"], BASE.get)
    assert (case.says in "\n".join(problems), bool(problems)) == (True, bool(case.says)), problems


@pytest.mark.parametrize(
    ("amendment", "says"),
    [
        (Amendment(test=PLAIN.test, criterion="AC1"), ""),
        (Amendment(test=PLAIN.test, criterion="AC1", replacement="tests/test_accept.py::test_new"), ""),
        (Amendment(test=NAME.test, criterion="AC1"), "nobody asked for"),
        (Amendment(test=PLAIN.test, criterion="AC2"), "which the PRD does not have"),
        (Amendment(test=PLAIN.test, criterion="AC1", replacement="tests/test_more.py::test_new"), "is no test of"),
    ],
)
def test_only_what_was_asked_for_is_added_and_only_sealed_tests_replace_it(amendment: Amendment, says: str) -> None:
    problems = added_problems([amendment], [PLAIN], (), ["AC1"], [(FILE.path, FILE.content)], BASE.get)
    assert (says in "\n".join(problems), bool(problems)) == (True, bool(says)), problems


def test_a_sealing_adds_amendments_and_settles_what_was_asked() -> None:
    first = SealedTests(files=(FILE,))
    asked = first.open_requests([PLAIN, NAME, PLAIN])
    assert asked == (NAME, PLAIN)
    added = first.with_added(asked, [Amendment(test=PLAIN.test, criterion="AC1")])
    assert added.files == first.files
    assert [(one.test, one.added_after_change) for one in added.amends] == [(PLAIN.test, True)]
    assert added.declined == (NAME,)
    assert added.open_requests([PLAIN, NAME]) == ()
    by_another = NAME.model_copy(update={"criterion": "AC2"})
    assert added.open_requests([by_another]) == (by_another,)
    assert SealedTests.from_canonical(added.canonical()) == added


def test_an_amendment_that_leaves_out_the_class_settles_the_request() -> None:
    sealed = SealedTests(files=(FILE,), amends=(Amendment(test="tests/test_app.py::test_name", criterion="AC1"),))
    assert sealed.open_requests([NAME, PLAIN]) == (PLAIN,)


def test_where_nobody_asks_the_stored_text_is_as_before() -> None:
    change = ChangeSet(base_commit="a", commit="b", tree="c", branch="d", summary="", files=(), diff_digest="e")
    assert "asks_to_amend" not in change.canonical()
    nothing = {"kind": "sealed-tests", "schema_version": 1, "files": [], "amends": []}
    assert SealedTests(files=()).canonical() == canonical_json(nothing)
