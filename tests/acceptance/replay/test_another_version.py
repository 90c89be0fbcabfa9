"""P8: a run begun or stored by another version stops with an offer, and never continues as something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import Project, script
from tests.acceptance.lifecycle.test_lifecycle import start
from tests.machine import Machine

from phasegate.flows.runs import kickoff
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.clock import SystemClock
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import UnitOfWork

pytestmark = pytest.mark.timeout(900)  # two runs up to a gate


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose phasegate is replaced while a run waits."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    machine.phasegate("down", "--services")


def another_version(folder: Path) -> dict[str, str]:
    """The environment in which `phasegate` is another version, whose pipeline has definition 0."""
    copy = folder / "phasegate" / "flows"
    shutil.copytree(Path(kickoff.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / "runs" / "kickoff.py"
    module.write_text(module.read_text().replace(f'DEFINITION = "{kickoff.DEFINITION}"', 'DEFINITION = "0"'))
    return {"PYTHONPATH": str(folder)}


def in_a_later_format(change: UnitOfWork, run: str) -> None:
    """Rewrite the PRD as if a later version had written it, before a downgrade to this one."""
    attempt = change.row(schema.attempts, f"{run}/prd/1")
    assert attempt is not None
    stored = change.row(schema.artifacts, attempt["artifact"])
    assert stored is not None
    content = canonical_json(json.loads(stored["content"]) | {"schema_version": 99})
    change.insert(schema.artifacts, id=sha256(content), content=content, created_at=SystemClock().now())
    change.update(schema.attempts, attempt["id"], artifact=sha256(content))


def test_a_run_of_another_definition_stops_and_offers_a_replay(own: Machine, project: Project, tmp_path: Path) -> None:
    """Mutation tried: `require_same_definition` does nothing."""
    run = start(Machine(own.home, another_version(tmp_path / "another")), project, script())
    assert own.phasegate("down").code == 0
    stops_and_is_replayed(own, run, "definition 0 of the pipeline", turns=0)


def test_a_run_with_a_later_format_stops_and_offers_a_replay(own: Machine, project: Project) -> None:
    """An approved PRD is not asked about again: one that is made again with the same content is the approved one.

    The mutation was tried in `tests/integration/replay`.
    """
    run = start(own, project, script())
    assert own.phasegate("down").code == 0
    ledger = own.ledger()
    with ledger._store.change(run, EventKind.RUN_DISPATCHED, actor="another version") as change:
        in_a_later_format(change, run)
    ledger.close()
    stops_and_is_replayed(own, run, "a format this phasegate does not know", turns=2)


def stops_and_is_replayed(own: Machine, run: str, says: str, *, turns: int) -> None:
    """Approving says what is wrong; a replay adopts what it can, and asks the model for `turns` turns of the PRD."""
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
