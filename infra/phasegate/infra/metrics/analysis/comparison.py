"""Comparison of a candidate with the current release: samples of both, a statistical test, and the looks at them.

Used by `measure` for metrics with `compare`. It must not know where the samples come from, nor what follows.

Every look at samples that still grow is another chance of a false alarm. There are four looks at most, at each quarter
of `count`, and together they may spend 1 - `confidence`: what a look may spend is what Lan and DeMets' function in the
shape of O'Brien and Fleming adds since the look before. As the parts add up to the whole, the promise needs no
assumption on how the looks hang together; the last look keeps about half of it.
Sources: Lan & DeMets, Biometrika 70 (1983), 659-663, for the spending; Fisher's noncentral hypergeometric distribution
for shares of errors (at odds 1 it is Fisher's exact test); Mann & Whitney, Ann. Math. Statist. 18 (1947), 50-60, as in
Kayenta's judge, for all else.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, median
from typing import Any

from phasegate.infra.metrics.report import Comparison
from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy

LOOKS = 4
"""At most so many times the samples are tested."""
FISHER, MANN_WHITNEY = "Fisher's exact test", "Mann-Whitney U test"


@dataclass
class Comparing:
    """Comparison of one metric: samples of both releases, and the conclusion so far.

    Attributes:
        metric: What is compared, and how sure the answer has to be.
        baseline: The release it is compared with.
        missing: Reason why there is nothing to compare with; empty if there is.
    """

    metric: MetricPolicy
    baseline: str
    missing: str = ""
    _ours: list[Reading] = field(default_factory=list[Reading])
    _theirs: list[Reading] = field(default_factory=list[Reading])
    _spent: float = 0.0

    def add(self, ours: Reading, theirs: Reading) -> None:
        """Take what was read of the candidate and of the baseline at the same time."""
        self._ours.append(ours)
        self._theirs.append(theirs)

    def look(self, counted: int) -> Comparison:
        """Conclude from the samples after so many measurements; the test is made at the planned looks only.

        `worse` is final. With the last measurement, `no worse` and `undecided` are too.

        Args:
            counted: Measurements that count towards `count`.

        Effects:
            Loads scipy where a test is made: seconds of processor time, the first time.
        """
        metric = self.metric
        ours, theirs = _figures(metric, self._ours), _figures(metric, self._theirs)
        comparison = Comparison(
            baseline=self.baseline,
            value=metric.compare,
            test=FISHER if _counts_errors(metric) else MANN_WHITNEY,
            candidate_sample=len(ours),
            baseline_sample=len(theirs),
            candidate_value=_middle(metric, ours),
            baseline_value=_middle(metric, theirs),
            conclusion="undecided",
            reason=self.missing,
        )
        smaller = min(len(ours), len(theirs))
        if self.missing or smaller < metric.minimum_sample:
            reason = self.missing or f"{smaller} of at least {metric.minimum_sample} sampled"
            return comparison.model_copy(update={"reason": reason})
        if counted not in looks(metric.count):
            return comparison.model_copy(
                update={"reason": f"{smaller} sampled of each; not tested at this measurement"}
            )
        level = spending(1 - metric.confidence, counted / metric.count) - self._spent
        self._spent += level
        p_value = _p_value(metric, ours, theirs)
        is_worse, is_last = p_value < level, counted >= metric.count
        conclusion = "worse" if is_worse else "no worse" if is_last else "undecided"
        sign = "<" if is_worse else "≥"
        reason = f"{comparison.test} gives p = {p_value:.3g} {sign} {level:.3g}, tolerating {metric.tolerance:.0%}"
        return comparison.model_copy(
            update={"conclusion": conclusion, "p_value": p_value, "level": level, "reason": reason},
        )


def looks(count: int) -> tuple[int, ...]:
    """After which measurements the samples are tested: each quarter of the count, rounded up."""
    return tuple(sorted({math.ceil(count * part / LOOKS) for part in range(1, LOOKS + 1)}))


def spending(alpha: float, share: float) -> float:
    """Part of `alpha` that may be spent by the time this share (0 to 1) of the measurements is made."""
    normal = NormalDist()
    return 2 * (1 - normal.cdf(normal.inv_cdf(1 - alpha / 2) / math.sqrt(min(1.0, share))))


def odds_p_value(errors: int, requests: int, baseline_errors: int, baseline_requests: int, odds: float) -> float:
    """Probability that the candidate has so many of all the errors, if its odds are `odds` times the baseline's.

    Exact, whatever the sample. With odds 1 this is Fisher's exact test, one-sided.
    """
    stats: Any = importlib.import_module("scipy.stats")  # here: it takes a second and 80 MB that most runs never need
    of_all_errors = stats.nchypergeom_fisher(requests + baseline_requests, requests, errors + baseline_errors, odds)
    return min(1.0, max(0.0, float(of_all_errors.sf(errors - 1))))


def rank_p_value(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Probability that ours rank so much higher than theirs, if they come from one distribution."""
    if len({*ours, *theirs}) == 1:
        return 1.0  # the test divides by how much the figures differ
    stats: Any = importlib.import_module("scipy.stats")  # here: as above
    return float(stats.mannwhitneyu(ours, theirs, alternative="greater").pvalue)


def _p_value(metric: MetricPolicy, ours: Sequence[float], theirs: Sequence[float]) -> float:
    if _counts_errors(metric):
        return odds_p_value(int(sum(ours)), len(ours), int(sum(theirs)), len(theirs), 1 + metric.tolerance)
    up = 1 if metric.direction == "increase" else -1
    tolerated = [up * figure + metric.tolerance * abs(figure) for figure in theirs]
    return rank_p_value([up * figure for figure in ours], tolerated)


def _counts_errors(metric: MetricPolicy) -> bool:
    return metric.source == "probe" and metric.compare == "error_rate"


def _figures(metric: MetricPolicy, readings: Sequence[Reading]) -> list[float]:
    """The single figures: 1 for an error and 0 for an answer; or each request's time; or one value per measurement."""
    if _counts_errors(metric):
        counted = [(int(reading.values["requests"]), int(reading.values["errors"])) for reading in readings]
        return [float(number < errors) for requests, errors in counted for number in range(requests)]
    name = metric.compare
    figures = [
        figure for reading in readings for figure in reading.samples.get(name, (reading.values.get(name, math.nan),))
    ]
    return [figure for figure in figures if math.isfinite(figure)]


def _middle(metric: MetricPolicy, figures: Sequence[float]) -> float | None:
    """Share of errors or median of the figures, or `None` if there are no figures."""
    if not figures:
        return None
    return sum(figures) / len(figures) if _counts_errors(metric) else median(figures)
