"""A candidate beside the release that serves: what is tested, when, and how often that is wrong."""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from phasegate.infra.metrics.analysis.comparison import Comparing, looks, odds_p_value, rank_p_value, spending
from phasegate.infra.metrics.report import Comparison
from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy

SIMULATED = 400
"""Releases per rate that is estimated: a true rate of 5 % is seen below 8.3 % in all but one of a thousand seeds."""
MEASUREMENTS, REQUESTS = 8, 25


def metric(compare: str, **keys: Any) -> MetricPolicy:
    told = {"requests": REQUESTS} if keys.get("source", "probe") == "probe" else {}
    return MetricPolicy.model_validate({"name": "m", "compare": compare, "count": MEASUREMENTS, **told, **keys})


def series(compare: str, name: str = "value", **keys: Any) -> MetricPolicy:
    """A metric with one figure per measurement."""
    told = {"source": "command", "command": "true", "values": (name,), "count": 40, "minimum_sample": 40}
    return metric(compare, **{**told, **keys})


def answers(errors: int, requests: int = REQUESTS, times: Sequence[float] = ()) -> Reading:
    values = {"requests": float(requests), "errors": float(errors), "error_rate": errors / requests}
    return Reading(values, {"latency_ms": tuple(times)})


def compared(of: MetricPolicy, ours: Callable[[], Reading], theirs: Callable[[], Reading]) -> Comparison:
    """Measure to the end, or until the candidate is worse."""
    comparing = Comparing(of, "rel-0")
    for counted in range(1, of.count):
        comparing.add(ours(), theirs())
        if (found := comparing.look(counted)).conclusion == "worse":
            return found
    comparing.add(ours(), theirs())
    return comparing.look(of.count)


def share_called_worse(of: MetricPolicy, ours: Callable[[], Reading], theirs: Callable[[], Reading]) -> float:
    return sum(compared(of, ours, theirs).conclusion == "worse" for _ in range(SIMULATED)) / SIMULATED


def failing(rate: float, chance: random.Random) -> Callable[[], Reading]:
    return lambda: answers(sum(chance.random() < rate for _ in range(REQUESTS)))


def taking(factor: float, chance: random.Random) -> Callable[[], Reading]:
    """Times as services have them: most near 20 ms, and a long tail."""
    return lambda: answers(0, times=[factor * chance.lognormvariate(3, 0.5) for _ in range(REQUESTS)])


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_release_that_fails_as_often_is_rarely_called_worse(rate: float) -> None:
    chance = random.Random(20)
    found = share_called_worse(metric("error_rate", tolerance=0), failing(rate, chance), failing(rate, chance))
    assert found <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATED)


@pytest.mark.parametrize(("factor", "tolerance"), [(1.0, 0.0), (1.1, 0.1)])
def test_a_release_that_is_as_fast_is_rarely_called_worse(factor: float, tolerance: float) -> None:
    """At the edge of what is tolerated too. Mutation tried: every look may spend all of 1 - confidence."""
    chance = random.Random(21)
    of = metric("latency_ms", tolerance=tolerance)
    found = share_called_worse(of, taking(factor, chance), taking(1.0, chance))
    assert found <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATED)


def test_ten_percent_of_errors_beside_one_are_found() -> None:
    """Of 200 requests each: the power is 0.9 and more."""
    chance = random.Random(22)
    assert share_called_worse(metric("error_rate"), failing(0.10, chance), failing(0.01, chance)) >= 0.9


def test_a_third_more_time_is_found() -> None:
    """Of 200 requests each, beyond a tolerance of 10 %: the power is 0.8 and more."""
    chance = random.Random(23)
    assert share_called_worse(metric("latency_ms"), taking(1.33, chance), taking(1.0, chance)) >= 0.8


def test_odds_of_one_are_fishers_exact_test() -> None:
    stats: Any = importlib.import_module("scipy.stats")  # ships no types
    for ours, theirs in [(8, 2), (0, 0), (0, 5), (100, 3), (100, 100)]:
        table = [[ours, 100 - ours], [theirs, 100 - theirs]]
        exact = stats.fisher_exact(table, alternative="greater").pvalue
        assert odds_p_value(ours, 100, theirs, 100, 1.0) == pytest.approx(exact, rel=1e-6)


def test_what_is_tolerated_makes_worse_harder_to_show() -> None:
    assert odds_p_value(12, 100, 3, 100, 1.0) < odds_p_value(12, 100, 3, 100, 1.5) < odds_p_value(12, 100, 3, 100, 3.0)


def test_the_same_figure_everywhere_is_no_worse() -> None:
    assert rank_p_value([5.0] * 60, [5.0] * 60) == 1.0
    assert compared(series("value"), lambda: Reading({"value": 0.0}), lambda: Reading({"value": 0.0})).p_value == 1.0


@pytest.mark.parametrize(("count", "when"), [(1, (1,)), (2, (1, 2)), (5, (2, 3, 4, 5)), (100, (25, 50, 75, 100))])
def test_when_the_samples_are_looked_at(count: int, when: tuple[int, ...]) -> None:
    assert looks(count) == when


def test_all_looks_together_spend_what_confidence_leaves() -> None:
    assert [round(spending(0.05, share), 4) for share in (0.25, 0.5, 0.75, 1)] == [0.0001, 0.0056, 0.0236, 0.05]


def test_a_look_that_was_not_made_leaves_its_part_to_the_next() -> None:
    comparing = Comparing(metric("error_rate", minimum_sample=100), "rel-0")
    found = [_looked(comparing, counted) for counted in range(1, 5)][-1]
    assert found.level == pytest.approx(spending(0.05, 0.5))


def _looked(comparing: Comparing, counted: int) -> Comparison:
    comparing.add(answers(0), answers(0))
    return comparing.look(counted)


def test_too_small_a_sample_is_undecided_to_the_end() -> None:
    found = compared(
        series("value", minimum_sample=30), lambda: Reading({"value": 1e9}), iter_readings([1.0] * 29 + [math.nan] * 11)
    )
    assert (found.conclusion, found.reason) == ("undecided", "29 of at least 30 sampled")
    assert (found.candidate_sample, found.baseline_sample, found.p_value) == (40, 29, None)


def iter_readings(figures: Sequence[float]) -> Callable[[], Reading]:
    left = iter(figures)
    return lambda: Reading({"value": next(left)})


@pytest.mark.parametrize(
    ("ours", "theirs", "keys", "conclusion"),
    [
        (9.0, 10.0, {}, "no worse"),
        (10.9, 10.0, {}, "no worse"),
        (11.1, 10.0, {}, "worse"),
        (11.1, 10.0, {"tolerance": 0.2}, "no worse"),
        (11.1, 10.0, {"direction": "decrease"}, "no worse"),
        (9.1, 10.0, {"direction": "decrease"}, "no worse"),
        (8.9, 10.0, {"direction": "decrease"}, "worse"),
        (-8.9, -10.0, {}, "worse"),
        (-9.1, -10.0, {}, "no worse"),
        (math.inf, 10.0, {}, "undecided"),
    ],
)
def test_which_way_and_how_much_is_worse(ours: float, theirs: float, keys: dict[str, Any], conclusion: str) -> None:
    found = compared(series("value", **keys), lambda: Reading({"value": ours}), lambda: Reading({"value": theirs}))
    assert found.conclusion == conclusion
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_a_candidate_that_only_fails_is_worse_at_the_first_look_with_enough() -> None:
    comparing = Comparing(metric("error_rate"), "rel-0")
    said = []
    for counted in range(1, 3):
        comparing.add(answers(REQUESTS), answers(0))
        said.append(comparing.look(counted).conclusion)
    assert said == ["undecided", "worse"]
