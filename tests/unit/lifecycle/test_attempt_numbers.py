"""Numbers of attempts: the same in each pass, and never those that a rewind discarded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from phasegate.flows.lifecycle.attempt_numbers import AttemptNumbers
from phasegate.infra.ledger import Ledger, Run


def numbers(attempts: dict[str, list[tuple[str, str, int, int]]] | None = None, *, origin: str = "") -> AttemptNumbers:
    """Numbers of run `mine`, over a ledger with these attempts: stage, part, number, the rewind that discarded it."""

    def rows(run_id: str) -> list[Any]:
        return [
            SimpleNamespace(stage=stage, part=part, number=number, superseded=superseded)
            for stage, part, number, superseded in (attempts or {}).get(run_id, [])
        ]

    record = SimpleNamespace(id="mine", origin=SimpleNamespace(run=origin) if origin else None)
    ledger = SimpleNamespace(attempts=SimpleNamespace(list=rows))
    return AttemptNumbers(cast("Run", record), cast("Ledger", ledger))


def test_stages_and_their_parts_are_counted_apart() -> None:
    """Mutation tried: the part is left out of the key."""
    counted = numbers()
    assert [counted.next("testing", part) for part in ("authoring", "authoring", "grading", "")] == [1, 2, 1, 1]
    assert counted.next("prd") == 1


def test_a_second_pass_gets_the_numbers_of_the_first() -> None:
    first, second = numbers(), numbers()
    assert [first.next("prd") for _ in range(3)] == [second.next("prd") for _ in range(3)] == [1, 2, 3]


def test_numbers_that_a_rewind_discarded_are_skipped() -> None:
    """Mutation tried: attempts that stand are skipped, too."""
    attempts = {"mine": [("prd", "", 1, 0), ("prd", "", 2, 1), ("prd", "", 3, 2), ("testing", "grading", 1, 1)]}
    counted = numbers(attempts)
    assert [counted.next("prd") for _ in range(3)] == [1, 4, 5]
    assert (counted.next("testing", "grading"), counted.next("testing")) == (2, 1)


def test_numbers_that_the_earlier_run_discarded_are_skipped() -> None:
    """Mutation tried: only the run's own attempts are read."""
    attempts = {"earlier": [("prd", "", 1, 1)]}
    assert numbers(attempts, origin="earlier").next("prd") == 2
    assert numbers(attempts).next("prd") == 1


def test_numbering_resumes_at_a_later_number_only() -> None:
    """Mutation tried: `resume_at` without `max`; numbers that were given are then given again."""
    counted = numbers()
    counted.resume_at("implementation", 3)
    assert counted.next("implementation") == 3
    counted.resume_at("implementation", 2)
    assert counted.next("implementation") == 4
    assert counted.next("implementation", "amending") == 1
