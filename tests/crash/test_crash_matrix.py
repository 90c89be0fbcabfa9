"""kill -9 at every ledger write and every effect boundary (P1-P6, P11, P13; DESIGN principle 5).

The points are found by rehearsing each scene once, so a new write is crashed at without anybody listing it. By
default a seeded sample is taken (PHASEGATE_CRASH_SEED); PHASEGATE_CRASH_ALL=1 crashes every scene at all of its points.
How many there were is printed. docs/promises.md says which broken code this catches.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from tests.crash.conftest import House, Point

SAMPLE, DOUBLE_CRASHES = 60, 10


@pytest.mark.timeout(7200)
def test_a_run_survives_kill_9_wherever_it_strikes(
    house: House, dice: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    every = all_points(house)
    points = every if os.environ.get("PHASEGATE_CRASH_ALL") else dice.sample(first_of_each(every), SAMPLE)
    broken = house.in_parallel(lambda point: house.crash(point.scene, f"{point.name}:{point.count}"), points)
    with capsys.disabled():
        names = len({point.name for point in points})
        passed = len(points) - len(broken)
        print(  # noqa: T201  the figure is what the matrix is for
            f"\ncrash matrix: {passed} of {len(points)} crashes survived, at {names} named points, "
            f"of {len(every)} crashes at {len({point.name for point in every})} points with PHASEGATE_CRASH_ALL=1"
        )
    assert broken == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("first", ["after:turn.answered:3", "before:effect.done"])
def test_a_recovery_survives_its_own_crash(house: House, first: str, moment: str) -> None:
    assert house.crash("ships", first, f"{moment}:run.recovered") == []


@pytest.mark.timeout(600)
def test_a_run_survives_two_crashes_at_random(
    house: House, dice: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one may come before the run has got to where the first one was."""
    every = all_points(house)
    crashes: list[tuple[Point, Point]] = []
    while len(crashes) < DOUBLE_CRASHES:
        first = dice.choice(every)
        crashes.append((first, dice.choice([point for point in every if point.scene == first.scene])))
    broken = house.in_parallel(
        lambda pair: house.crash(pair[0].scene, *(f"{point.name}:{point.count}" for point in pair)), crashes
    )
    with capsys.disabled():
        print(f"\ndouble crashes: {len(crashes) - len(broken)} of {len(crashes)} survived")  # noqa: T201  as above
    assert broken == {}


def all_points(house: House) -> list[Point]:
    """Every moment of every scene, in order."""
    found: list[Point] = []
    for scene, names in house.points.items():
        reached = Counter[str]()
        for name in names:
            reached[name] += 1
            found.append(Point(scene, name, reached[name]))
    return found


def first_of_each(points: list[Point]) -> list[Point]:
    """One moment for each point and count."""
    kept: dict[tuple[str, int], Point] = {}
    for point in points:
        kept.setdefault((point.name, point.count), point)
    return list(kept.values())
