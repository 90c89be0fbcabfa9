"""kill -9 at every ledger write and every effect boundary (P1-P6, P11, P13; DESIGN principle 5).

The points are found by rehearsing each scene once, so a new write is crashed at without anybody listing it. By default
each point is crashed at once for every time that it is reached, in the first scene that reaches it so often;
PHASEGATE_CRASH_ALL=1 crashes every scene at all of its own. docs/promises.md says which broken code this catches.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from tests.crash.conftest import House, Point

DOUBLE_CRASHES = 10


@pytest.mark.timeout(7200)
def test_a_run_survives_kill_9_at_every_point(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    every = all_points(house)
    points = every if os.environ.get("PHASEGATE_CRASH_ALL") else first_of_each(every)
    if limit := int(os.environ.get("PHASEGATE_CRASH_LIMIT", "0")):
        points = random.Random(limit).sample(points, limit)
    broken = house.in_parallel(lambda point: house.crash(point.scene, f"{point.name}:{point.count}"), points)
    with capsys.disabled():
        names = len({point.name for point in points})
        passed = len(points) - len(broken)
        print(  # noqa: T201  the figure is what the matrix is for
            f"\ncrash matrix: {passed} of {len(points)} crashes survived, at {names} named points; "
            f"{len(every)} with PHASEGATE_CRASH_ALL=1"
        )
    assert broken == {}


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
