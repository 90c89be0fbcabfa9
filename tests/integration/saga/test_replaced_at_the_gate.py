"""The approved tree is merged, though the repository shows another content under its ids meanwhile (P14)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.ledgers import rewrite
from tests.support.greeter import QUICK_GRADES, write_greeter
from tests.support.lifecycle import LifecycleHarness
from tests.support.replacements import IGNORED
from tests.support.repositories import git
from typing_extensions import override

from phasegate.flows.engine.resources import open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.settings import Settings

POLICY = QUICK_GRADES + '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n'


@dataclass
class AlteringHarness(LifecycleHarness):
    """Machine on which somebody alters the repository while the run waits at gate `change`.

    Attributes:
        alter: Called with the repository's folder and the change's commit.
        calls: Number of those calls.
    """

    alter: Callable[[Path, str], None] = field(default=lambda top, commit: None)
    calls: int = 0

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        if key.split(":")[1] == "change":
            self.calls += 1
            gate = self.ledger.gates.waiting(run_id)[0]
            evidence = self.ledger.artifacts.get(gate.subject[Evidence.kind], Evidence)
            self.alter(self.folder / "greeter", evidence.change)
        await super().wait_until(key, run_id=run_id, decided=decided, settings=settings, in_process=in_process)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncGenerator[AlteringHarness]:
    """A machine whose runs end once the change is in."""
    write_greeter(tmp_path, policy=POLICY)
    settings = Settings(home=tmp_path / "home")
    settings.create_folders()
    async with open_resources(settings) as shared:
        harness = AlteringHarness(tmp_path, shared)
        shared.http.event_hooks["request"].append(harness.count)
        yield harness


@pytest.mark.parametrize("alter", IGNORED)
async def test_what_was_approved_is_merged(machine: AlteringHarness, alter: Callable[[Path, str], None]) -> None:
    """Mutation tried: `core.useReplaceRefs`, `core.commitGraph` and `GIT_GRAFT_FILE` not set for phasegate's git."""
    machine.alter = alter
    run = await machine.run()
    assert machine.calls == 1
    assert run.status == "done", run.reason
    (effect,) = machine.ledger.effects.list(run.id)
    assert effect.intent["tree"]
    top, commit = machine.folder / "greeter", str((effect.result or {})["commit"])
    raw = ("--no-replace-objects", "-c", "core.useReplaceRefs=false", "-c", "core.commitGraph=false")
    lines = git(top, *raw, "cat-file", "commit", commit).splitlines()
    assert lines[0] == f"tree {effect.intent['tree']}"
    assert git(top, *raw, "cat-file", "blob", f"{effect.intent['tree']}:greeting.txt") == "Good day"
    machine.ledger.audit(run.id)


async def test_a_chain_that_was_rewritten_at_the_gate_merges_nothing(machine: AlteringHarness) -> None:
    """It holds by itself: only git has seen another one. Mutation tried: effects without the comparison."""
    file, top = machine.shared.settings.home / "ledger.db", machine.folder / "greeter"
    machine.alter = lambda _top, _commit: rewrite(file, machine.only_run().id, "eve")
    branches = git(top, "for-each-ref", "refs/heads/main", "refs/heads/phasegate/main")
    run = await machine.run()
    assert machine.calls == 1
    assert (run.status, "git has seen another event" in str(run.reason)) == ("failed", True)
    assert machine.ledger.effects.list(run.id)[-1].status != "done"
    assert git(top, "for-each-ref", "refs/heads/main", "refs/heads/phasegate/main") == branches
    machine.ledger.audit(run.id)
