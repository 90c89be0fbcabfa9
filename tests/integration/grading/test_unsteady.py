"""Tests that fail now and then: told from those that a change breaks by running them again on the base commit.

Chance is grading's current step here: the test passes in the first run on the base commit, and in no other.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.cheats.ground import BROKEN, DONE, FILES, QUICK, Chance, Ground, Row

RERUN = QUICK.model_copy(update={"flaky_reruns": 1})


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(tmp_path, {**FILES, "tests/test_chance.py": Chance.test})
    ground.on_step = Chance(tmp_path, monkeypatch, "/usr/bin:/bin")
    return ground


def test_a_change_is_blamed_for_what_it_breaks_and_for_nothing_else(ground: Ground) -> None:
    row = Row("does the work", {"shop.py": DONE}, "passed", "")
    evidence = ground.grade(row, RERUN)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.base is not None
    assert evidence.base.unstable_outcomes == ("tests.test_chance::test_chance",)
    assert "1 unstable" in evidence.markdown().splitlines()[0]
    broken = ground.grade(replace(row, files={"shop.py": BROKEN}), RERUN)
    assert broken.verdict == "failed"
    assert [one.test for one in broken.regressions] == ["tests.test_shop::test_total"]


def test_without_a_second_run_nothing_tells_it_from_a_broken_one(ground: Ground) -> None:
    evidence = ground.grade(Row("does the work", {"shop.py": DONE}, "passed", ""), QUICK)
    assert [one.test for one in evidence.regressions] == ["tests.test_chance::test_chance"]
