"""Verdict on a metric, from values over outcomes: the rules of Argo Rollouts, but nothing passes unmeasured.

Pure functions, called by `measure` after every reading. They know no clock, no source and no ledger.

Source: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/ and `assessMetricStatus` in its
`analysis/analysis.go`. Different on purpose: no measurement at all, a series that was cut short, and a value that
is not a number are never a success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from phasegate.infra.metrics.report import Comparison, Outcome, Verdict
from phasegate.infra.policy.conditions import Condition
from phasegate.infra.policy.monitor import MetricPolicy

_UNTOLD = "cannot be told: a value is not a number"
_WORST_FIRST: tuple[Verdict, ...] = ("failed", "error", "inconclusive", "passed")


@dataclass(frozen=True)
class Judgement:
    """A metric's verdict and the rule that gave it."""

    verdict: Verdict
    reason: str


def outcome_of(
    success: Condition | None, failure: Condition | None, values: Mapping[str, float]
) -> tuple[Outcome, str]:
    """Outcome of one measurement, and the reason for it.

    With both conditions, values that meet neither are inconclusive. A condition that cannot be told (NaN) never
    makes a success: with only a success condition it counts as not met, otherwise the measurement is inconclusive.

    Args:
        success: Must hold; `None` if the metric has no such condition.
        failure: Must not hold; `None` likewise.
        values: Value name to number.
    """
    if failure is None:
        return _by_success_alone(success, values)
    failed = failure.holds(values)
    if failed:
        return "failure", f"{_measured(failure, values)}{failure.text} is true"
    if failed is None:
        return "inconclusive", f"{failure.text} {_UNTOLD}"
    if success is None:
        return "success", f"{_measured(failure, values)}{failure.text} is false"
    if success.holds(values):
        return "success", f"{_measured(success, values)}{success.text} is true"
    return "inconclusive", f"{_measured(success, values)}{success.text} is false, and so is {failure.text}"


def _by_success_alone(success: Condition | None, values: Mapping[str, float]) -> tuple[Outcome, str]:
    if success is None:
        return "inconclusive", "the metric has no condition"
    match success.holds(values):
        case True:
            return "success", f"{_measured(success, values)}{success.text} is true"
        case False:
            return "failure", f"{_measured(success, values)}{success.text} is false"
        case None:
            return "failure", f"{success.text} {_UNTOLD}"


def _measured(condition: Condition, values: Mapping[str, float]) -> str:
    """The values that a condition names, as they were measured: `error_rate was 0.4, so `."""
    named = [f"{name} was {values[name]:.4g}" for name in condition.names if name in values]
    return f"{' and '.join(named)}, so " if named else ""


def judge(metric: MetricPolicy, outcomes: Sequence[Outcome], *, ended: bool = False) -> Judgement | None:
    """Judge a metric by its measurements so far.

    A limit is what is tolerated: one more breaks it. When several are broken, error outranks inconclusive outranks
    failed. A measurement that ended in an error does not count towards `count`.

    Args:
        metric: The limits and the count.
        outcomes: In the order measured.
        ended: True if no further measurement will be made.

    Returns:
        `None` while measuring should continue.
    """
    if broken := _broken_limit(metric, outcomes):
        return broken
    counted = len(outcomes) - outcomes.count("error")
    successes, limit = _longest_run(outcomes, "success"), metric.consecutive_success_limit
    if limit and successes >= limit:
        return Judgement("passed", f"{successes} successes in a row")
    if counted >= metric.count:
        if limit:
            return Judgement("inconclusive", f"at most {successes} successes in a row, {limit} wanted")
        return Judgement("passed", f"{counted} measured, {outcomes.count('failure')} failed")
    if not ended:
        return None
    return Judgement("inconclusive", f"measuring ended after {counted} of {metric.count}")


def _broken_limit(metric: MetricPolicy, outcomes: Sequence[Outcome]) -> Judgement | None:
    failed, inconclusive, errors = (
        outcomes.count("failure"),
        outcomes.count("inconclusive"),
        _longest_run(outcomes, "error"),
    )
    if errors > metric.consecutive_error_limit:
        return Judgement("error", f"{errors} errors in a row, {metric.consecutive_error_limit} tolerated")
    if inconclusive > metric.inconclusive_limit:
        return Judgement("inconclusive", f"{inconclusive} inconclusive, {metric.inconclusive_limit} tolerated")
    if failed > metric.failure_limit:
        return Judgement("failed", f"{failed} failed, {metric.failure_limit} tolerated")
    return None


def with_comparison(judgement: Judgement | None, comparison: Comparison) -> Judgement | None:
    """Judge a metric that is compared with a baseline besides, or instead of, having conditions.

    A broken limit stands as it is. Worse than the baseline is failed, at once; nothing passes that could not be
    compared, or of which too little was seen.

    Args:
        judgement: What `judge` makes of the measurements.
        comparison: What the samples say so far.

    Returns:
        `None` while measuring should continue.
    """
    if judgement is not None and judgement.verdict != "passed":
        return judgement
    if comparison.conclusion == "worse":
        return Judgement("failed", f"worse than release {comparison.baseline}: {comparison.reason}")
    if judgement is None:
        return None
    if comparison.conclusion == "no worse":
        return Judgement("passed", f"no worse than release {comparison.baseline}: {comparison.reason}")
    return Judgement("inconclusive", f"not compared: {comparison.reason}")


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of the metrics' verdicts; inconclusive when there is none."""
    every_verdict = list(verdicts)
    return min(every_verdict, key=_WORST_FIRST.index) if every_verdict else "inconclusive"


def _longest_run(outcomes: Sequence[Outcome], wanted: Outcome) -> int:
    return max((len(list(run)) for outcome, run in groupby(outcomes) if outcome == wanted), default=0)
