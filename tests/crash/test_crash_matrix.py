"""kill -9 at every ledger write and every effect boundary (P1-P7, P11, P13; principle 5).

The points are found by rehearsing each scene once, so a new write is crashed at without anybody listing it, and none
escapes: each kind of event in the code is a point of some scene, or `kinds` says why not. The matrix kills at every
second named point, at the others a day later, each at one of its moments (CRASH_SEED chooses another). CRASH_ALL=1
kills at every moment of every scene, CRASH_ALL=SCENE of that one. The count of points and moments stands at the end of
what pytest prints. docs/promises.md says which broken code this catches.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.crash.conftest import CrashHarness, Point
from tests.crash.kinds import NOT_IN_SCENES, kinds_in_the_code, stray_writes

from phasegate.flows.lifecycle.effects.performers import PERFORMERS
from phasegate.infra.ledger import Ledger, Run

DOUBLE_CRASHES = 100 if os.environ.get("CRASH_ALL") else 6
BY_THE_CLOCK = {"attempt.renewed", "lease.renewed"}
"""Kinds whose number differs from play to play; every play has some."""
LIVES = 15
"""More than the reconciler tries by itself."""

Say = Callable[[str, object], None]


@pytest.mark.timeout(14_400)
def test_a_run_survives_kill_9_wherever_it_strikes(
    house: CrashHarness, rng: random.Random, record_property: Say
) -> None:
    every = all_points(house)
    whole = os.environ.get("CRASH_ALL", "")
    points = [point for point in every if whole in {"1", point.scene}] if whole else of_today(one_of_each(every, rng))
    broken = house.in_parallel(lambda point: house.crash(point.scene, f"{point.name}:{point.count}"), points)
    record_property(
        "crash matrix",
        f"{len(points) - len(broken)} of {len(points)} crashes survived, at {len({point.name for point in points})} of "
        f"{len({point.name for point in every})} named points; there are {len(every)} moments (CRASH_ALL=1)",
    )
    assert not broken, told(broken)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("first", ["after:turn.answered:3", "before:effect.done"])
def test_a_recovery_survives_its_own_crash(house: CrashHarness, first: str, moment: str) -> None:
    """Mutations tried: `Attempt.has_finished_from` always False, an attempt then finishes twice (P2); `merge` without
    looking for the merge that is there, the run then fails (P1).
    """
    assert house.crash("ships", first, f"{moment}:run.recovered") == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("gate", [1, 2])
@pytest.mark.parametrize("moment", ["after:gate.opened", "before:gate.decided"])
def test_p1_an_approval_given_in_advance_survives_that_it_was_not_recorded_yet(
    house: CrashHarness, moment: str, gate: int
) -> None:
    """As the reconciler's own test, here with everything but Prefect."""
    assert house.crash("second attempt", f"{moment}:{gate}") == []


@pytest.mark.timeout(1800)
def test_p2_an_agent_is_not_asked_again_since_what_it_is_told_is_spelled_otherwise(house: CrashHarness) -> None:
    """Mutation tried: `_try` handing on what was made as it was made; a report's table had its columns in another order
    when it was read back, and the incident was written twice.
    """
    assert house.crash("breaches past a migration", "before:run.needs-operator:1") == []


@pytest.mark.timeout(1800)
def test_a_run_survives_two_crashes_at_random(house: CrashHarness, rng: random.Random, record_property: Say) -> None:
    """The second one may come before the run has got to where the first one was."""
    every = all_points(house)
    crashes: list[tuple[Point, Point]] = []
    while len(crashes) < DOUBLE_CRASHES:
        first = rng.choice(every)
        crashes.append((first, rng.choice([point for point in every if point.scene == first.scene])))
    broken = house.in_parallel(
        lambda pair: house.crash(pair[0].scene, *(f"{point.name}:{point.count}" for point in pair)), crashes
    )
    made = "; ".join(f"{first} then {second.name}:{second.count}" for first, second in crashes)
    record_property("double crashes", f"{len(crashes) - len(broken)} of {len(crashes)} survived: {made}")
    assert not broken, told(broken)


@pytest.mark.timeout(1800)
def test_p7_a_run_that_kills_its_engine_each_time_ends_up_with_a_person_who_can_let_it_go_on(
    house: CrashHarness,
) -> None:
    play, before = house.stage("ships")
    lives = 0
    while house.live(play, "ships", at="before:attempt.finished") != 0:
        lives += 1
        assert lives < LIVES, "it is recovered for ever"
    with play.ledger() as ledger:
        run = _only(ledger)
        assert (run.status, lives) == ("needs-operator", 11)
        assert run.reason is not None
        assert run.reason["code"] == "recoveries"
        assert f"phasegate resume {run.id}" in run.reason["remedy"]
        ledger.runs.resume(run.id, actor="bo")
    assert house.live(play, "ships") == 0
    assert house.verdict(play, before, "ships", []) == []


@pytest.mark.timeout(1800)
def test_every_kind_of_event_is_crashed_at_or_says_why_not(house: CrashHarness) -> None:
    reached = {name.partition(":")[2] for names in house.points.values() for name in names}
    written = set(kinds_in_the_code())
    assert written - reached - NOT_IN_SCENES.keys() == set()
    assert NOT_IN_SCENES.keys() & reached == set()
    assert NOT_IN_SCENES.keys() - written == set()


@pytest.mark.timeout(1800)
def test_every_effect_is_crashed_at_before_and_after_making_and_undoing_it(house: CrashHarness) -> None:
    reached = {name for names in house.points.values() for name in names}
    steps = {("make", kind) for kind in PERFORMERS} | {("undo", kind) for kind in PERFORMERS.keys() - {"contract"}}
    assert {f"{when}:{what}:{kind}" for when in ("before", "after") for what, kind in steps} <= reached, (
        "contract is undone by the performer of migrate"
    )


def test_nothing_is_written_but_through_what_names_its_points() -> None:
    """Mutation tried: `Leases.release` inside `reading`; `Leases.renew` in a transaction of its own."""
    assert stray_writes() == []


def _only(ledger: Ledger) -> Run:
    (run,) = ledger.runs.list()
    return run


def told(broken: dict[str, list[str]]) -> str:
    """Failures by crash, in full: the folders are gone by the time a person reads them."""
    return "\n\n".join("\n".join([crash, *found]) for crash, found in broken.items())


def all_points(house: CrashHarness) -> list[Point]:
    """Every moment of every scene, in order."""
    found: list[Point] = []
    for scene, names in house.points.items():
        reached = Counter[str]()
        for name in names:
            reached[name] += 1
            if reached[name] == 1 or name.partition(":")[2] not in BY_THE_CLOCK:
                found.append(Point(scene, name, reached[name]))
    return found


def of_today(points: list[Point]) -> list[Point]:
    """Every second point: two days in a row take them all."""
    return points[datetime.now(UTC).toordinal() % 2 :: 2]


def one_of_each(points: list[Point], rng: random.Random) -> list[Point]:
    """Choose a moment of each named point."""
    moments: dict[str, list[Point]] = {}
    for point in points:
        moments.setdefault(point.name, []).append(point)
    return [rng.choice(of_one) for of_one in moments.values()]
