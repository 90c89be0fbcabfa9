"""From values to outcomes to verdicts, rule by rule.

Each table's rows stand under the rule they are cases of. `ARGO:` rules are those of Argo Rollouts' documentation and of
`assessMetricStatus` and `assessMetricFailureInconclusiveOrError`; `OURS:` rules depart from them, or Argo has none.
Source: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from phasegate.infra.metrics.analysis.verdict import Judgement, judge, outcome_of, overall, with_comparison
from phasegate.infra.metrics.report import Comparison, Conclusion, Outcome, Verdict
from phasegate.infra.policy.conditions import parse_condition
from phasegate.infra.policy.monitor import MetricPolicy

LETTERS: dict[str, Outcome] = {"S": "success", "F": "failure", "I": "inconclusive", "E": "error", "C": "sampled"}


MEASUREMENTS: dict[str, list[tuple[str, str, float, Outcome]]] = {
    "ARGO: with a success condition alone, what does not meet it failed": [
        ("x < 10", "", 5, "success"),
        ("x < 10", "", 10, "failure"),
    ],
    "ARGO: with a failure condition alone, what does not meet it succeeded": [
        ("", "x > 10", 11, "failure"),
        ("", "x > 10", 10, "success"),
    ],
    "ARGO: with both, what meets neither is inconclusive, and failure outranks success": [
        ("x < 10", "x > 20", 5, "success"),
        ("x < 10", "x > 20", 15, "inconclusive"),
        ("x < 10", "x > 20", 25, "failure"),
        ("x < 10", "x > 5", 7, "failure"),
    ],
    "ARGO: with no condition, a measurement is inconclusive": [
        ("", "", 1, "inconclusive"),
    ],
    "ARGO: NaN does not meet a success condition": [
        ("x < 10", "", math.nan, "failure"),
    ],
    "OURS: nor does it by way of `not`, and it is never a success because a failure condition cannot be told": [
        ("not x > 10", "", math.nan, "failure"),
        ("", "x > 10", math.nan, "inconclusive"),
        ("", "not x < 10", math.nan, "inconclusive"),
        ("x < 10", "x > 20", math.nan, "inconclusive"),
        ("1 > 0", "x > 20", math.nan, "inconclusive"),
        ("x < 10", "1 > 0", math.nan, "failure"),
        ("x < 10", "1 > 2", math.nan, "inconclusive"),
    ],
}


@pytest.mark.parametrize(("rule", "cases"), MEASUREMENTS.items(), ids=MEASUREMENTS)
def test_what_one_measurement_says(rule: str, cases: list[tuple[str, str, float, Outcome]]):
    for success, failure, value, outcome in cases:
        conditions = [parse_condition(text, ["x"]) if text else None for text in (success, failure)]
        found, why = outcome_of(conditions[0], conditions[1], {"x": value})
        assert (success, failure, value, found) == (success, failure, value, outcome)
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

    @property
    def metric(self) -> MetricPolicy:
        return MetricPolicy(
            name="m",
            count=self.count,
            failure_limit=self.failure,
            inconclusive_limit=self.inconclusive,
            consecutive_error_limit=self.error,
            consecutive_success_limit=self.success,
        )


CASES: dict[str, list[Case]] = {
    "OURS: no measurement is no success, where Argo passes an analysis that was ended before its first one": [
        Case("", None, "inconclusive"),
    ],
    "OURS: a series that was cut short is no success, where Argo passes it": [
        Case("S", None, "inconclusive"),
        Case("SS", None, "inconclusive"),
        Case("SC", None, "inconclusive"),
    ],
    "ARGO: what is not a failure counts towards `count`, which passes": [
        Case("SSS", "passed", "passed"),
        Case("S", "passed", "passed", count=1),
        Case("SSSS", "passed", "passed"),
    ],
    "ARGO: an error does not count towards `count`": [
        Case("E", None, "inconclusive"),
        Case("EEEE", None, "inconclusive"),
        Case("SSE", None, "inconclusive"),
        Case("SESES", "passed", "passed"),
    ],
    "ARGO: more failures than `failure_limit` fail at once, by default one, wherever they stand": [
        Case("F", "failed", "failed"),
        Case("SF", "failed", "failed"),
        Case("SSF", "failed", "failed"),
        Case("FSF", "failed", "failed", failure=1),
        Case("FSSSF", "failed", "failed", failure=1, count=9),
        Case("FFFF", "failed", "failed", failure=3, count=9),
    ],
    "ARGO: as many failures as `failure_limit` are tolerated": [
        Case("F", None, "inconclusive", failure=1),
        Case("FSS", "passed", "passed", failure=1),
        Case("SSF", "passed", "passed", failure=1),
        Case("FFF", "passed", "passed", failure=3),
    ],
    "ARGO: more inconclusive ones than `inconclusive_limit` are inconclusive at once, by default one": [
        Case("I", "inconclusive", "inconclusive"),
        Case("ISI", "inconclusive", "inconclusive", inconclusive=1),
    ],
    "ARGO: as many inconclusive ones as `inconclusive_limit` are tolerated": [
        Case("I", None, "inconclusive", inconclusive=1),
        Case("ISS", "passed", "passed", inconclusive=1),
        Case("III", "passed", "passed", inconclusive=3),
    ],
    "ARGO: more errors in a row than `consecutive_error_limit` are an error, by default five": [
        Case("EEEEE", "error", "error"),
        Case("SEEEEE", "error", "error"),
        Case("E", "error", "error", error=0),
        Case("SE", "error", "error", error=0),
        Case("EE", "error", "error", error=1),
    ],
    "ARGO: errors that do not follow each other are tolerated": [
        Case("EEEESEEEE", None, "inconclusive"),
        Case("ESESS", "passed", "passed", error=1),
    ],
    "OURS: a limit that was broken stays broken, whatever is measured after it": [
        Case("EEEEES", "error", "error"),
        Case("FSSS", "failed", "failed"),
    ],
    "ARGO: where several limits are broken, error outranks inconclusive outranks failed": [
        Case("FI", "inconclusive", "inconclusive"),
        Case("IF", "inconclusive", "inconclusive"),
        Case("FE", "error", "error", error=0),
        Case("IE", "error", "error", error=0),
        Case("FIE", "error", "error", error=0),
        Case("FFEEEEE", "error", "error", failure=1),
    ],
    "ARGO: as many successes in a row as `consecutive_success_limit` pass before `count`": [
        Case("SS", "passed", "passed", success=2),
        Case("SFSS", "passed", "passed", success=2, failure=1, count=9),
    ],
    "ARGO: what breaks a row of successes begins it anew": [
        Case("S", None, "inconclusive", success=2),
        Case("SFS", None, "inconclusive", success=2, failure=1, count=4),
        Case("SES", None, "inconclusive", success=2, count=9),
        Case("SSSS", None, "inconclusive", success=5, count=9),
    ],
    "ARGO: where `count` is reached before that row, it is inconclusive": [
        Case("SFS", "inconclusive", "inconclusive", success=2, failure=1),
    ],
    "OURS: a broken limit outranks a row of successes": [
        Case("SSF", "failed", "failed", success=2, count=9),
        Case("SSI", "inconclusive", "inconclusive", success=2, count=9),
    ],
    "OURS: what is only sampled counts towards `count`, and is neither success nor failure": [
        Case("CCC", "passed", "passed"),  # before the comparison has its say, below
        Case("CC", None, "inconclusive"),
        Case("CSC", "inconclusive", "inconclusive", success=2),
    ],
}


@pytest.mark.parametrize(("rule", "cases"), CASES.items(), ids=CASES)
def test_what_a_metric_says(rule: str, cases: list[Case]):
    for case in cases:
        outcomes: list[Outcome] = [LETTERS[letter] for letter in case.outcomes]
        metric = case.metric
        now, ended = judge(metric, outcomes), judge(metric, outcomes, ended=True)
        assert (case, now and now.verdict) == (case, case.now)
        assert ended is not None
        assert (case, ended.verdict) == (case, case.ended)
        assert ended.reason


COMPARED: dict[str, list[tuple[Verdict | None, Conclusion, Verdict | None]]] = {
    "OURS: worse than the baseline is failed, whatever the conditions have passed so far": [
        (None, "worse", "failed"),
        ("passed", "worse", "failed"),
    ],
    "OURS: a broken limit stands as it is": [
        ("failed", "no worse", "failed"),
        ("failed", "undecided", "failed"),
        ("error", "worse", "error"),
        ("error", "undecided", "error"),
        ("inconclusive", "worse", "inconclusive"),
        ("inconclusive", "no worse", "inconclusive"),
    ],
    "OURS: no worse passes what its conditions pass, and nothing sooner": [
        ("passed", "no worse", "passed"),
        (None, "no worse", None),
    ],
    "OURS: what could not be compared, or was sampled too little, is inconclusive and never passed": [
        ("passed", "undecided", "inconclusive"),
        (None, "undecided", None),
    ],
}


@pytest.mark.parametrize(("rule", "cases"), COMPARED.items(), ids=COMPARED)
def test_what_a_compared_metric_says(rule: str, cases: list[tuple[Verdict | None, Conclusion, Verdict | None]]):
    """Mutation tried: `undecided` lets pass what the conditions pass."""
    for judged, conclusion, verdict in cases:
        found = with_comparison(judged and Judgement(judged, "so far"), compared(conclusion))
        assert (judged, conclusion, found and found.verdict) == (judged, conclusion, verdict)


def compared(conclusion: Conclusion) -> Comparison:
    return Comparison(
        baseline="rel-0",
        value="error_rate",
        test="Fisher's exact test",
        candidate_sample=100,
        baseline_sample=100,
        candidate_value=0.1,
        baseline_value=0.0,
        conclusion=conclusion,
        reason="p = 0.001",
    )


WORST: dict[str, list[tuple[list[Verdict], Verdict]]] = {
    "OURS: no metric at all is no success": [([], "inconclusive")],
    "ARGO: the worst metric decides": [
        (["passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["inconclusive", "error", "passed"], "error"),
        (["error", "failed", "inconclusive", "passed"], "failed"),
    ],
}


@pytest.mark.parametrize(("rule", "cases"), WORST.items(), ids=WORST)
def test_the_worst_metric_decides(rule: str, cases: list[tuple[list[Verdict], Verdict]]):
    for verdicts, worst in cases:
        assert (verdicts, overall(verdicts)) == (verdicts, worst)


def test_the_tables_have_the_cases_that_are_promised():
    tables: list[Mapping[str, Sequence[object]]] = [MEASUREMENTS, CASES, COMPARED, WORST]
    rules = [(rule, len(cases)) for table in tables for rule, cases in table.items()]
    assert all(rule.startswith(("ARGO: ", "OURS: ")) for rule, _ in rules)
    assert sum(count for rule, count in rules if rule.startswith("ARGO: ")) >= 45
    assert sum(count for _, count in rules) >= 80
