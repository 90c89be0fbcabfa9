"""P15: an engine whose Prefect was altered notices, says so, and goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.acceptance.attacks.conftest import POLICY, Attacker, at_prd_gate, commit, gates
from tests.acceptance.lifecycle.conftest import Project
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)  # the engine's start is in the first of them

POOL = "/work_pools/phasegate"
_CANCELS = {
    "name": "cancels",
    "trigger": {"type": "event", "posture": "Reactive", "expect": ["prefect.flow-run.Running"], "threshold": 1},
    "actions": [{"type": "cancel-flow-run"}],
}


@dataclass(frozen=True)
class Alteration:
    """An alteration of Prefect.

    Attributes:
        requests: Method, path and content of each request; `{deployment}` and `{queue}` are filled in.
        said: Words of the sentence that says so.
    """

    requests: list[tuple[str, str, dict[str, Any] | None]]
    said: str


LATE: tuple[str, str, dict[str, Any] | None] = ("PATCH", POOL, {"is_paused": True})
"""Makes the next run late, so that Prefect is looked at."""
FOO = {"type": "object", "properties": {"foo": {"type": "string"}}, "required": ["foo"]}
ALTERATIONS = {
    "pool paused": Alteration([LATE], "The work pool was paused"),
    "pool limited": Alteration([("PATCH", POOL, {"concurrency_limit": 0})], "The work pool was paused or limited"),
    "pool deleted": Alteration([("DELETE", POOL, None)], "The work pool was deleted"),
    "queue paused": Alteration([("PATCH", "/work_queues/{queue}", {"is_paused": True})], "queue default was paused"),
    "queue limited": Alteration([("PATCH", "/work_queues/{queue}", {"concurrency_limit": 0})], "or limited"),
    "deployment deleted": Alteration([("DELETE", "/deployments/{deployment}", None)], "The deployment was deleted"),
    "deployment changed": Alteration(
        [("PATCH", "/deployments/{deployment}", {"entrypoint": "evil:flow", "paused": True}), LATE],
        "The deployment was changed",
    ),
    "deployment with another schema": Alteration(
        [
            (
                "POST",
                "/deployments/",
                {
                    "name": "phasegate",
                    "work_pool_name": "phasegate",
                    "parameter_openapi_schema": FOO,
                },
            )
        ],
        "The deployment was changed",
    ),
    "pool with another template": Alteration(
        [("PATCH", POOL, {"base_job_template": {"job_configuration": {"x": "{{ foo }}"}, "variables": FOO}})],
        "The work pool's template was changed",
    ),
    "deployment limited": Alteration(
        [("PATCH", "/deployments/{deployment}", {"concurrency_limit": 1}), LATE], "holds runs up"
    ),
}


def alter(attacker: Attacker, alteration: Alteration) -> None:
    """Send the requests, each of which Prefect accepts."""
    (deployment,) = attacker.prefect("/deployments/filter", {})
    (queue,) = attacker.prefect("/work_queues/filter", {})
    for method, path, content in alteration.requests:
        where = path.format(deployment=deployment["id"], queue=queue["id"])
        flow = {"flow_id": deployment["flow_id"]} if path == "/deployments/" else {}
        body = None if content is None else {**content, **flow}
        assert "refused" not in (attacker.prefect(where, body, method) or {}), (method, where)


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_a_run_goes_on_whatever_was_altered(
    machine: Machine, project: Project, attacker: Attacker, alteration: Alteration
) -> None:
    """W2, for a run that begins, and for one that waits meanwhile. Mutation tried: `repair_prefect` empty."""
    commit(project, POLICY)
    waiting = at_prd_gate(machine, project)
    alter(attacker, alteration)
    fresh = at_prd_gate(machine, project)
    assert machine.phasegate("approve", waiting).code == 0
    machine.until(waiting, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
    assert gates(machine.show(fresh)) == [("prd", "open")]
    said = machine.phasegate("status", "--json").json["engine"]["alterations"]
    assert any(alteration.said in text for text in said), said
    assert "Prefect was altered, at 2" in machine.phasegate("status").out
    assert "altered, at 2" in machine.phasegate("doctor").out


def test_an_automation_that_acts_is_deleted(machine: Machine, project: Project, attacker: Attacker) -> None:
    """W2. Mutation tried: automations are left alone."""
    for number in range(101):  # more than one page of them does no harm
        harmless = {**_CANCELS, "name": f"a{number:03}", "actions": [{"type": "do-nothing"}]}
        assert "id" in attacker.prefect("/automations/", harmless)
    made = attacker.prefect("/automations/", _CANCELS)
    assert "id" in made, made
    attacker.prefect("/concurrency_limits/", {"tag": "x", "concurrency_limit": 0})
    commit(project, POLICY)
    alter(attacker, ALTERATIONS["pool paused"])
    run = at_prd_gate(machine, project)  # the pool was put right first, and the rest a moment later
    machine.until(run, lambda _: attacker.prefect("/concurrency_limits/filter", {}) == [])
    left = attacker.prefect("/automations/filter", {"limit": 200})
    assert [one["name"] for one in left] == [f"a{number:03}" for number in range(101)]


@pytest.mark.parametrize("parameters", [{}, {"run_id": "run-of-another"}, {"run_id": None, "more": 1}], ids=str)
def test_a_waiting_flow_run_with_other_parameters_is_replaced(
    machine: Machine, project: Project, attacker: Attacker, parameters: dict[str, Any]
) -> None:
    """Mutation tried: parameters unread; the run then never goes on, and is scheduled again without end."""
    commit(project, POLICY)
    run = at_prd_gate(machine, project)
    flow_run = f"/flow_runs/{machine.show(run)['flow_run_id']}"
    assert "refused" not in (attacker.prefect(flow_run, {"parameters": parameters}, "PATCH") or {})
    assert machine.phasegate("approve", run).code == 0
    machine.until(run, lambda shown: gates(shown) == [("prd", "approved"), ("change", "open")])
