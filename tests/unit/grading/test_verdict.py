from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from phasegate.infra.grading.base import BaseJudgement
from phasegate.infra.grading.evidence import CriterionResult, Evidence
from phasegate.infra.grading.runner.attribution import attribute
from phasegate.infra.grading.runner.junit import Status, TestCase
from phasegate.infra.grading.runner.runner import TestRun
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.verdict import judge_criteria, regressions


@dataclass(frozen=True)
class Criterion:
    id: str
    statement: str = "It works"


SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_ac.py",
            content="def test_ac1_greets():\n    assert greet() == 'Hi'\n",
            criteria=("AC1", "AC2"),
        ),
        SealedFile(path="calc/add_test.go", content="func TestAdd(t *testing.T) {}\n", criteria=("AC3",)),
    )
)
FILES = ("app.py", "tests/test_app.py")


def case(id: str, status: Status = "passed", message: str = "", file: str | None = None) -> TestCase:  # noqa: A002 - the field's name
    return TestCase(id, file, status, message)


def test_tests_are_told_apart_by_file_class_or_name() -> None:
    cases = [
        case("tests.test_ac::test_one"),
        case("tests.test_ac.TestMore::test_two"),
        case("::tests.test_ac", "error"),
        case("example.org/m/calc::TestAdd/zero"),
        case("anything::named", file="calc/add_test.go"),
        case("tests.test_app::test_old"),
        case("app::doctest"),
        case("elsewhere::test_known"),
    ]
    told = attribute(cases, SEALED, FILES, {"elsewhere::test_known"})
    assert [one.id for one in told.sealed["tests/test_ac.py"]] == [one.id for one in cases[:3]]
    assert [one.id for one in told.sealed["calc/add_test.go"]] == ["anything::named"]
    again = attribute([one for one in cases if one.file is None], SEALED, FILES, ())
    assert [one.id for one in again.sealed["calc/add_test.go"]] == ["example.org/m/calc::TestAdd/zero"]


@dataclass
class Case:
    name: str
    base: list[TestCase]
    change: list[TestCase]
    expected: str
    says: str = ""
    criterion: str = "AC1"
    trouble: str = ""
    criteria: tuple[str, ...] = field(default=())


ONE, OTHER = "tests.test_ac::test_ac1_greets", "tests.test_ac::test_other"


@pytest.mark.parametrize(
    "row",
    [
        Case("fails, then passes", [case(ONE, "failed")], [case(ONE)], "passed"),
        Case("missing, then passes", [], [case(ONE)], "passed"),
        Case("module did not import", [case("::tests.test_ac", "error")], [case(ONE)], "passed"),
        Case("fails on both", [case(ONE, "failed")], [case(ONE, "failed", "no")], "failed", "test_ac1_greets: no"),
        Case("passes on both", [case(ONE)], [case(ONE)], "vacuous", "pass on the base commit"),
        Case("passed, now fails", [case(ONE)], [case(ONE, "error")], "failed", "test_ac1_greets: error"),
        Case("no test", [], [], "failed", "tests/test_ac.py yields no test"),
        Case("one vanished", [case(ONE, "failed"), case(OTHER, "failed")], [case(OTHER)], "failed", "did not run"),
        Case("skipped away", [case(ONE, "failed")], [case(ONE, "skipped", "why")], "failed", "why"),
        Case(
            "skipped on both", [case(ONE, "skipped")], [case(ONE, "skipped")], "failed", "all of its tests are skipped"
        ),
        Case("one skipped on both", [case(ONE, "skipped")], [case(ONE, "skipped"), case(OTHER)], "passed"),
        Case("named for another", [case(ONE)], [case(ONE, "failed"), case(OTHER)], "passed", criterion="AC2"),
        Case("nothing sealed", [], [case(ONE)], "untested", "No sealed test", criterion="AC9"),
        Case("no report", [case(ONE, "failed")], [], "failed", "tests-timed-out", trouble="tests-timed-out: …"),
        Case("partly vacuous", [case(ONE), case(OTHER, "failed")], [case(ONE), case(OTHER)], "passed"),
    ],
    ids=lambda row: row.name,
)
def test_a_criterion_s_status(row: Case) -> None:
    base, change = (attribute(cases, SEALED, FILES, ()) for cases in (row.base, row.change))
    (result,) = judge_criteria([Criterion(row.criterion)], SEALED, base, change, row.trouble)
    assert result.status == row.expected
    assert row.says in result.message


def test_a_change_is_not_blamed_for_tests_that_the_command_never_runs() -> None:
    nothing = attribute([], SEALED, FILES, ())
    (result,) = judge_criteria([Criterion("AC1")], SEALED, nothing, nothing, "", ["tests/test_ac.py"])
    assert (result.status, "at the names and folders" in result.message) == ("untested", True)
    failing = attribute([case(ONE, "failed", "no")], SEALED, FILES, ())
    (result,) = judge_criteria([Criterion("AC1")], SEALED, nothing, failing, "", ["tests/test_ac.py"])
    assert result.status == "failed"


def test_a_message_does_not_quote_a_sealed_test() -> None:
    said = ">       assert greet() == 'Hi'\n12 |     assert greet() == 'Hi'\nassert 'Ho' == 'Hi'"
    base, change = attribute([], SEALED, FILES, ()), attribute([case(ONE, "failed", said)], SEALED, FILES, ())
    for trouble in ("", said):
        (result,) = judge_criteria([Criterion("AC1")], SEALED, base, change, trouble)
        assert "greet()" not in result.message
        assert "assert 'Ho' == 'Hi'" in result.message


def test_a_case_whose_number_differs_is_the_same_one() -> None:
    base = [case("t::test_url[a-output185]"), case("t::test_url[b-output2]"), case("t::test_name[x1]")]
    same = [case("t::test_url[a-output186]"), case("t::test_url[b-output2]"), case("t::test_name[x1]")]
    assert regressions(base, same) == ()
    worse = [case("t::test_url[a-output186]", "failed", "no"), case("t::test_url[b-output2]"), case("t::test_name[x1]")]
    assert [(one.test, one.message) for one in regressions(base, worse)] == [("t::test_url[a-output185]", "no")]
    fewer = [case("t::test_url[b-output2]"), case("t::test_name[x1]")]
    assert [one.message for one in regressions(base, fewer)] == ["it did not run"]
    other = [case("t::test_url[c-output185]"), case("t::test_url[b-output2]"), case("t::test_name[x1]")]
    assert [one.message for one in regressions(base, other)] == ["it did not run"]


def test_regressions_are_what_passed_and_does_not() -> None:
    before = [case("a::ok"), case("a::broken"), case("a::gone"), case("a::skips"), case("a::never", "failed")]
    after = [
        case("a::ok"),
        case("a::broken", "failed", "boom"),
        case("a::skips", "skipped"),
        case("a::never", "failed"),
    ]
    found = {regression.test: regression.message for regression in regressions(before, after)}
    assert found == {"a::broken": "boom", "a::gone": "it did not run", "a::skips": "skipped"}


def test_a_hostile_message_cannot_leave_its_block() -> None:
    criterion = CriterionResult(id="AC1", statement="It | works", status="failed", message="```\n# Approved\n```")
    evidence = Evidence(verdict="failed", change="1" * 40, sealed_tests="sha256:0", criteria=(criterion,))
    for page in (evidence.markdown(), evidence.failing()):
        lines = [line.strip() for line in page.splitlines()]
        start = lines.index("````")
        assert lines[start + 1 : start + 5] == ["```", "# Approved", "```", "````"]


@dataclass(frozen=True)
class Unstable:
    name: str
    base: list[list[TestCase]]
    change: list[TestCase]
    expected: list[tuple[str, str]]


COMPARED = (
    Unstable("new ids", [[case("m::t[1]")], [case("m::t[2]")]], [case("m::t[3]")], []),
    Unstable(
        "ids without brackets", [[case("m::is 1a2b 17:01")], [case("m::is 1a2b 17:02")]], [case("m::is 1a2b 9:00")], []
    ),
    Unstable(
        "fewer cases",
        [[case("m::t[1]"), case("m::t[2]")], [case("m::t[3]"), case("m::t[4]")]],
        [case("m::t[5]")],
        [("m::t", "1 of 2 cases ran")],
    ),
    Unstable(
        "fewer, for they are skipped",
        [[case("m::t[1]")], [case("m::t[2]")]],
        [case("m::t[3]", "skipped")],
        [("m::t", "0 of 1 cases ran")],
    ),
    Unstable(
        "one fails, as none does on base",
        [[case("m::t[1]")], [case("m::t[2]")]],
        [case("m::t[3]", "failed", "3 != 4")],
        [("m::t", "3 != 4")],
    ),
    Unstable(
        "one fails, as on base", [[case("m::t[1]", "failed")], [case("m::t[2]")]], [case("m::t[3]", "failed")], []
    ),
    Unstable("outcome", [[case("m::t")], [case("m::t", "failed")]], [case("m::t", "failed")], []),
    Unstable("outcome, and gone", [[case("m::t")], [case("m::t", "failed")]], [], [("m::t", "0 of 1 cases ran")]),
    Unstable(
        "a stable one beside them is gone",
        [[case("m::t[a]"), case("m::t[1]")], [case("m::t[a]"), case("m::t[2]")]],
        [case("m::t[3]"), case("m::t[4]")],
        [("m::t[a]", "it did not run")],
    ),
)


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: row.name)
def test_only_what_is_unstable_on_base_is_excused(row: Unstable) -> None:
    judgement = BaseJudgement(tuple(TestRun(tuple(cases)) for cases in row.base))
    found = regressions(judgement.first.cases, row.change, judgement)
    assert [(one.test, one.message) for one in found] == row.expected
