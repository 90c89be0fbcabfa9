"""From values to outcomes to verdicts, rule by rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from phasegate.infra.metrics.conditions import parse_condition
from phasegate.infra.metrics.report import Outcome, Verdict
from phasegate.infra.metrics.verdict import judge, outcome_of, overall
from phasegate.infra.policy.monitor import MetricPolicy

LETTERS: dict[str, Outcome] = {"S": "success", "F": "failure", "I": "inconclusive", "E": "error"}


@pytest.mark.parametrize(
    ("success", "failure", "value", "outcome"),
    [
        ("x < 10", "", 5, "success"),
        ("x < 10", "", 10, "failure"),
        ("", "x > 10", 11, "failure"),
        ("", "x > 10", 10, "success"),
        ("x < 10", "x > 20", 5, "success"),
        ("x < 10", "x > 20", 15, "inconclusive"),
        ("x < 10", "x > 20", 25, "failure"),
        ("x < 10", "x > 5", 7, "failure"),
        ("", "", 1, "inconclusive"),
        ("x < 10", "", math.nan, "failure"),
        ("not x > 10", "", math.nan, "failure"),
        ("", "x > 10", math.nan, "inconclusive"),
        ("", "not x < 10", math.nan, "inconclusive"),
        ("x < 10", "x > 20", math.nan, "inconclusive"),
        ("1 > 0", "x > 20", math.nan, "inconclusive"),
        ("x < 10", "1 > 0", math.nan, "failure"),
        ("x < 10", "1 > 2", math.nan, "inconclusive"),
    ],
)
def test_what_one_measurement_says(success: str, failure: str, value: float, outcome: Outcome):
    conditions = [parse_condition(text, ["x"]) if text else None for text in (success, failure)]
    found, why = outcome_of(conditions[0], conditions[1], {"x": value})
    assert found == outcome
    assert why


@dataclass(frozen=True)
class Case:
    """Outcomes as letters; the verdict while measuring, and the verdict when nothing more will come."""

    outcomes: str
    now: Verdict | None
    ended: Verdict
    count: int = 3
    failure: int = 0
    inconclusive: int = 0
    error: int = 4
    success: int = 0


CASES = [
    # nothing, or not enough
    Case("", None, "inconclusive"),
    Case("S", None, "inconclusive"),
    Case("SS", None, "inconclusive"),
    Case("E", None, "inconclusive"),
    Case("EEEE", None, "inconclusive"),
    # the count
    Case("SSS", "passed", "passed"),
    Case("S", "passed", "passed", count=1),
    Case("SSSS", "passed", "passed"),
    Case("SSE", None, "inconclusive"),
    Case("SESES", "passed", "passed"),
    # failures: more than the limit, at once, wherever they stand
    Case("F", "failed", "failed"),
    Case("SF", "failed", "failed"),
    Case("SSF", "failed", "failed"),
    Case("F", None, "inconclusive", failure=1),
    Case("FSS", "passed", "passed", failure=1),
    Case("SSF", "passed", "passed", failure=1),
    Case("FSF", "failed", "failed", failure=1),
    Case("FSSSF", "failed", "failed", failure=1, count=9),
    Case("FFF", "passed", "passed", failure=3),
    Case("FFFF", "failed", "failed", failure=3, count=9),
    # inconclusive ones
    Case("I", "inconclusive", "inconclusive"),
    Case("I", None, "inconclusive", inconclusive=1),
    Case("ISS", "passed", "passed", inconclusive=1),
    Case("ISI", "inconclusive", "inconclusive", inconclusive=1),
    Case("III", "passed", "passed", inconclusive=3),
    # errors: only in a row
    Case("EEEEE", "error", "error"),
    Case("EEEESEEEE", None, "inconclusive"),
    Case("SEEEEE", "error", "error"),
    Case("EEEEES", "error", "error"),
    Case("E", "error", "error", error=0),
    Case("SE", "error", "error", error=0),
    Case("EE", "error", "error", error=1),
    Case("ESESS", "passed", "passed", error=1),
    # several limits broken: error, then inconclusive, then failed
    Case("FI", "inconclusive", "inconclusive"),
    Case("IF", "inconclusive", "inconclusive"),
    Case("FE", "error", "error", error=0),
    Case("IE", "error", "error", error=0),
    Case("FIE", "error", "error", error=0),
    Case("FFEEEEE", "error", "error", failure=1),
    # successes in a row
    Case("SS", "passed", "passed", success=2),
    Case("S", None, "inconclusive", success=2),
    Case("SFSS", "passed", "passed", success=2, failure=1, count=9),
    Case("SFS", "inconclusive", "inconclusive", success=2, failure=1),
    Case("SFS", None, "inconclusive", success=2, failure=1, count=4),
    Case("SES", None, "inconclusive", success=2, count=9),
    Case("SSF", "failed", "failed", success=2, count=9),
    Case("SSI", "inconclusive", "inconclusive", success=2, count=9),
    Case("SSSS", None, "inconclusive", success=5, count=9),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.outcomes or 'none'}-{case.now}")
def test_what_a_metric_says(case: Case):
    metric = MetricPolicy(
        name="m",
        count=case.count,
        failure_limit=case.failure,
        inconclusive_limit=case.inconclusive,
        consecutive_error_limit=case.error,
        consecutive_success_limit=case.success,
    )
    outcomes: list[Outcome] = [LETTERS[letter] for letter in case.outcomes]
    now, ended = judge(metric, outcomes), judge(metric, outcomes, ended=True)
    assert (now and now.verdict) == case.now
    assert ended is not None
    assert ended.verdict == case.ended
    assert ended.reason


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], "inconclusive"),
        (["passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["inconclusive", "error", "passed"], "error"),
        (["error", "failed", "inconclusive", "passed"], "failed"),
    ],
)
def test_the_worst_metric_decides(verdicts: list[Verdict], worst: Verdict):
    assert overall(verdicts) == worst
