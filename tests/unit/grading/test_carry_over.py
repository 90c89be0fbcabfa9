"""Differences between two grades that keep an approval from carrying over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.branch_move import BranchMove
from phasegate.infra.grading.carry_over import differences
from phasegate.infra.grading.evidence import Counts, Evidence, Finding

NOTE = Finding(code="test-file-touched", path="tests/a.py", message="changed by the change")
AMENDED = AmendedTest(test="tests/a.py::test_old", criterion="AC1", status="amended")
APPROVED = Evidence(
    verdict="passed",
    change="1" * 40,
    sealed_tests="sha256:1",
    criteria=(),
    findings=(NOTE,),
    amended=(AMENDED,),
    tree="2" * 40,
    left_out=("tests/a.py",),
)
MOVE = BranchMove(branch="main", base="1" * 40, head="3" * 40, number=1, approved=APPROVED.digest, patch_id="4" * 40)


@dataclass(frozen=True)
class Case:
    id: str
    says: str
    """A part of the only sentence; empty: there is none."""
    fresh: Mapping[str, Any] = field(default_factory=dict[str, Any])
    patch_ids: tuple[str, str] = ("4", "4")


CASES = [
    Case("as it was", ""),
    Case("another tree", "", {"tree": "5" * 40, "change": "6" * 40}),
    Case("more tests on the branch", "", {"counts": Counts(project_passed_on_base=9)}),
    Case("another message", "", {"findings": (NOTE.model_copy(update={"message": "otherwise"}),)}),
    Case("another patch", "another patch", patch_ids=("4", "5")),
    Case("failed", "*failed*; it was *passed*", {"verdict": "failed"}),
    Case("nothing proven", "*unproven*", {"verdict": "unproven"}),
    Case("other sealed tests", "sealed tests", {"sealed_tests": "sha256:2"}),
    Case(
        "a new finding",
        "New findings: test-file-touched (note, `tests/b.py`)",
        {"findings": (NOTE, NOTE.model_copy(update={"path": "tests/b.py"}))},
    ),
    Case("the same finding twice", "New findings", {"findings": (NOTE, NOTE)}),
    Case("a finding less", "gone", {"findings": ()}),
    Case("an amendment less", "obsolete", {"amended": ()}),
    Case("an amendment refused", "obsolete", {"amended": (AMENDED.model_copy(update={"status": "refused"}),)}),
    Case("other tests go in", "go in, or stay out", {"entered": ("tests/a.py",), "left_out": ()}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_approval_carries_over_while_nothing_a_person_has_seen_differs(case: Case) -> None:
    fresh = APPROVED.model_copy(update=dict(case.fresh))
    told = differences(APPROVED, fresh, case.patch_ids)
    assert len(told) == bool(case.says), told
    assert case.says in "".join(told)
    move = MOVE.model_copy(update={"differences": told})
    assert move.carries_over is not bool(case.says)
    assert case.says in move.sentence()
    assert case.says in fresh.model_copy(update={"move": move}).markdown()


def test_a_severer_finding_is_another_one() -> None:
    severe = APPROVED.model_copy(update={"findings": (NOTE.model_copy(update={"severity": "suspicion"}),)})
    new, gone = differences(APPROVED, severe, ("4", "4"))
    assert "test-file-touched (suspicion" in new
    assert "test-file-touched (note" in gone


@pytest.mark.parametrize(("number", "asks"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_branch_that_moves_again_and_again_needs_a_person(number: int, asks: bool) -> None:
    plain = APPROVED.model_copy(update={"amended": ()})
    fresh = plain.model_copy(update={"move": MOVE.model_copy(update={"number": number})})
    assert fresh.move is not None
    assert (fresh.needs_person, fresh.move.carries_over) == (asks, not asks)
    assert ("a person decides" in fresh.markdown()) is asks


def test_evidence_of_an_earlier_version_is_read_with_its_digest() -> None:
    stored = APPROVED.canonical().replace(',"move":null', "")
    assert '"move"' not in stored
    assert Evidence.from_canonical(stored).canonical() == stored
