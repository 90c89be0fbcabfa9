"""P8: what another version began or stored stops a waiting run with an offer, and never goes on as something else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import Machine, Project, script
from tests.acceptance.lifecycle.test_lifecycle import start

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.clock import SystemClock
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.store import Change

pytestmark = pytest.mark.timeout(300)  # two runs up to a gate


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose phasegate is replaced while a run waits."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    machine.phasegate("down", "--services")


def of_another_version(change: Change, run: str) -> None:
    """As if another version's pipeline had begun the run."""
    change.update(schema.runs, run, definition="0")


def in_a_later_format(change: Change, run: str) -> None:
    """As if a later version had written the PRD, before somebody went back to this one."""
    attempt = change.one(schema.attempts, f"{run}/prd/1")
    assert attempt is not None
    stored = change.one(schema.artifacts, attempt["artifact"])
    assert stored is not None
    content = canonical_json(json.loads(stored["content"]) | {"schema_version": 99})
    change.insert(schema.artifacts, id=sha256(content), content=content, created_at=SystemClock().now())
    change.update(schema.attempts, attempt["id"], artifact=sha256(content))


@pytest.mark.parametrize(
    ("alter", "says", "turns"),
    [
        (of_another_version, "definition 0 of the pipeline", 0),
        (in_a_later_format, "a format this phasegate does not know", 2),
    ],
    ids=["the pipeline's definition", "a stored format"],
)
def test_a_waiting_run_stops_and_offers_a_replay(
    own: Machine, project: Project, alter: Any, says: str, turns: int
) -> None:
    """What was approved is not asked again: a PRD that is made anew and says the same is the one that was approved.

    The mutations of both were tried in `tests/integration/replay`.
    """
    run = start(own, project, script())
    assert own.phasegate("down").code == 0
    ledger = own.ledger()
    with ledger._store.change(run, "run.altered", actor="another version") as change:
        alter(change, run)
    ledger.close()

    stopped = own.phasegate("approve", run, "--wait")

    assert stopped.code == 5, stopped.out + stopped.err
    assert (says in stopped.out, f"phasegate replay {run}" in stopped.out) == (True, True), stopped.out
    assert own.phasegate("show", run).code == 0
    assert own.phasegate("audit", run).code == 0
    again = own.phasegate("replay", run, "--json")
    assert again.code == 3, again.out + again.err
    new, made = again.json["id"], again.json["stages"]
    assert [stage["usage"]["turns"] for stage in made if stage["id"] == f"{new}/prd/1"] == [turns]
    assert [(gate["gate"], gate["status"]) for gate in again.json["gates"]] == [("prd", "approved"), ("change", "open")]
    own.phasegate("cancel", new, "--wait")
