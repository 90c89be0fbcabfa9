"""A metric as a picture that is read without colour, and out loud."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from phasegate.infra.metrics.chart import chart
from phasegate.infra.metrics.report import Comparison, Measurement, MetricReport, Outcome
from phasegate.infra.policy.conditions import PROBE_VALUES, parse_condition, thresholds

START = datetime(2026, 1, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def taken(seconds: float, outcome: Outcome, rate: float | None, baseline: float | None = None) -> Measurement:
    beside: dict[str, float | None] = {} if baseline is None else {"error_rate": baseline}
    at = START + timedelta(seconds=seconds)
    return Measurement(at=at, values={"error_rate": rate, "p50_ms": 12.0}, outcome=outcome, baseline=beside)


def metric(*measurements: Measurement, **more: Any) -> MetricReport:
    told = {"name": "errors", "verdict": "failed", "reason": "1 failed, 0 tolerated", **more}
    return MetricReport.model_validate({"measurements": measurements, **told})


def said(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


MEASURED = metric(
    taken(0, "success", 0.0),
    taken(2, "error", None),
    taken(4, "failure", 0.5),
    failure_condition="error_rate > 0.05",
)


def test_the_decision_and_the_threshold_are_marked() -> None:
    texts = said(chart(MEASURED))
    assert {"errors: failed", "1 failed, 0 tolerated", "fails when error_rate > 0.05"} <= set(texts)
    assert {"threshold 0.05", "decided: failed", "0.5", "2026-01-01 00:00:00 UTC", "00:00:04"} <= set(texts)


def test_it_is_described_in_words() -> None:
    root = ET.fromstring(chart(MEASURED))
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title desc")
    described = {element.get("id"): element.text for element in root if element.get("id")}
    assert described == {
        "title": "errors: failed",
        "desc": "errors failed: 1 failed, 0 tolerated. 00:00:00 success: error_rate 0. 00:00:02 error: error_rate no "
        "number. 00:00:04 failure: error_rate 0.5.",
    }


def test_every_outcome_has_a_shape_of_its_own() -> None:
    """Read without colour: as if everything were black. Mutation tried: failures are drawn as successes are."""
    outcomes: list[Outcome] = ["success", "failure", "inconclusive", "error", "sampled"]
    shapes = set()
    for outcome in outcomes:
        lines = chart(metric(taken(0, outcome, 0.0))).splitlines()
        mark = lines[next(number for number, line in enumerate(lines) if line.endswith(f">{outcome}</text>")) - 1]
        shapes.add(re.sub(r"#[0-9a-f]{3,6}|[0-9.]+ ?", lambda found: "white" if found[0] == "#fff" else "", mark))
    assert len(shapes) == len(outcomes)


def test_the_baseline_is_dashed_and_named() -> None:
    comparison = Comparison(
        baseline="rel-0",
        value="error_rate",
        test="Fisher's exact test",
        candidate_sample=40,
        baseline_sample=40,
        candidate_value=0.1,
        baseline_value=0.1,
        conclusion="no worse",
        reason="p = 0.6",
    )
    picture = chart(metric(taken(0, "sampled", 0.1, 0.2), taken(2, "sampled", 0.1, 0.1), comparison=comparison))
    assert "the release it is compared with" in said(picture)
    assert 'stroke-dasharray="6 4"' in picture
    assert "error_rate 0.1 (baseline 0.2)" in picture
    assert "release rel-0" in picture


def test_the_same_report_gives_the_same_bytes() -> None:
    assert chart(MEASURED) == chart(MetricReport.model_validate_json(MEASURED.model_dump_json()))


@pytest.mark.parametrize(
    "odd",
    [
        metric(),
        metric(taken(0, "failure", 0.0), failure_condition="error_rate >= 0"),
        metric(taken(0, "success", -3.0), taken(0, "success", -1.0)),
        metric(taken(0, "success", 1.0), name='</text><script>"&\x00\x1b'),
        metric(taken(0, "inconclusive", 1.0), failure_condition="errors / requests > 0.1 and (("),
        metric(taken(0, "error", None), success_condition="p95_ms < 200"),
    ],
)
def test_what_is_odd_is_still_a_picture(odd: MetricReport) -> None:
    root = ET.fromstring(chart(odd))
    assert root.tag == f"{SVG}svg"
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "rect",
        "text",
        "path",
        "circle",
    }
    assert "nan" not in chart(odd)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("error_rate > 0.05", (("error_rate", 0.05),)),
        ("0.05 < error_rate and not p95_ms < 2 * 100", (("error_rate", 0.05), ("p95_ms", 200.0))),
        ("10 < p95_ms < 200 or p95_ms < 10", (("p95_ms", 10.0), ("p95_ms", 200.0))),
        ("errors / requests > 0.1", ()),
        ("p95_ms < p99_ms", ()),
    ],
)
def test_what_a_condition_holds_a_value_against(condition: str, found: tuple[tuple[str, float], ...]) -> None:
    assert set(thresholds(parse_condition(condition, PROBE_VALUES))) == set(found)
