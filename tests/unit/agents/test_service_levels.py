"""A PRD's service levels as metrics, and what becomes of those that cannot be measured."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from phasegate.agents.deployment import ReleasePlan
from phasegate.agents.prd import Prd, PrdDraft, ServiceLevel
from phasegate.flows.lifecycle.rollout.service_levels import service_levels
from phasegate.infra.policy.model import Policy

FAST = {"statement": "95 % of greetings take less than 200 ms", "path": "/?name=Bo", "condition": "p95_ms < 200"}
ENDS_EARLY = ["prd", "implementation", "testing", "deployment"]


def drafted(*stated: Any) -> PrdDraft:
    criteria = [{"id": "AC1", "statement": "it greets"}]
    return PrdDraft.model_validate({"title": "x", "acceptance_criteria": criteria, "service_levels": stated})


def policy(**tables: Any) -> Policy:
    return Policy.model_validate({"deploy": {"start": "serve {port}"}, **tables})


def test_a_level_that_names_path_and_condition_is_measured_beside_policys_own() -> None:
    found = service_levels(policy(), drafted("it feels fast", FAST).service_levels)
    assert [metric.name for metric in found.metrics] == ["errors", "service level 2"]
    own = found.metrics[1]
    assert (own.source, own.path, own.success_condition) == ("probe", "/?name=Bo", "p95_ms < 200")
    assert found.lines[1] == "**service level 2**: GET `/?name=Bo`, p95_ms < 200 must hold (5 times, every 1 s)"
    assert found.unmeasured == ("it feels fast: the PRD names no path and condition for it",)


@pytest.mark.parametrize(
    ("tables", "metrics", "why"),
    [
        ({"lifecycle": {"stages": ENDS_EARLY}}, 0, "the stages end before monitoring"),
        (
            {
                "deploy": {"target": "kubernetes", "manifests": "k8s"},
                "monitor": {"metrics": [{"name": "a", "source": "command", "command": "true", "values": ["x"]}]},
            },
            1,
            "[deploy] url does not say where the service answers",
        ),
    ],
)
def test_what_cannot_be_measured_is_said_so(tables: dict[str, Any], metrics: int, why: str) -> None:
    found = service_levels(policy(**tables), drafted(FAST).service_levels)
    assert (len(found.metrics), found.unmeasured) == (metrics, (f"{FAST['statement']}: {why}",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"condition": "p59_ms < 200"}, "did you mean p99_ms"),
        ({"condition": "p95_ms"}, "is not a comparison"),
        ({"path": "http://elsewhere/"}, "must be a path"),
        ({"statement": ""}, "at least 1 character"),
    ],
)
def test_the_agent_is_told_what_does_not_hold(change: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        drafted({**FAST, **change})


def test_the_gates_show_what_will_be_measured_and_what_will_not() -> None:
    prd = Prd.model_validate(drafted("it feels fast", FAST).model_dump())
    assert "- it feels fast (not measured)" in prd.markdown()
    assert f"- {FAST['statement']} (measured: GET `/?name=Bo`, p95_ms < 200)" in prd.markdown()
    found = service_levels(policy(), prd.service_levels)
    plan = ReleasePlan(
        commit="c" * 40,
        target="process",
        service="s",
        start="serve",
        replaces="",
        measured=found.lines,
        unmeasured=found.unmeasured,
    )
    assert "### Measured after the release" in plan.markdown()
    assert "### Service levels that nothing measures\n\n- it feels fast: the PRD names" in plan.markdown()


def test_a_prd_that_was_stored_before_keeps_its_digest() -> None:
    prd = Prd.model_validate(drafted("it feels fast").model_dump())
    assert '"service_levels":["it feels fast"]' in prd.canonical()
    assert isinstance(
        Prd.from_canonical(Prd.model_validate(drafted(FAST).model_dump()).canonical()).service_levels[0], ServiceLevel
    )
