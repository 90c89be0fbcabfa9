"""P5 for `replay`: a run is gone back to by whom its policy names, signed where its commands are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenes import SCENES, CrashScenario, write_project
from tests.integration.gates.conftest import Desk, Keys
from tests.ledgers import accepted, policy_with
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import git, write_files

from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.flows.runs.replay import ReplayRequest, replay
from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import COMMAND_NAMESPACE, AllowedSigners, Person, sign
from phasegate.infra.ledger import Origin, Run
from phasegate.infra.ledger.gates.commands import replay_command
from phasegate.infra.tickets.ticket import Ticket

UNASKED = """[lifecycle]
stages = ["prd", "implementation", "testing"]
[gates.prd]
off = true
reason = "agreed before"
[gates.change]
off = true
reason = "agreed before"
[roles]
ops = ["olga"]
[commands]
replay = ["ops"]
"""
SSH = '[identity]\nmode = "ssh"\n'


@pytest.fixture
async def house(tmp_path: Path, keys: Keys, request: pytest.FixtureRequest) -> AsyncGenerator[LifecycleHarness]:
    """A machine with a project whose runs Olga alone replays, with her signature if the parameter says so."""
    signed: bool = getattr(request, "param", False)
    ships = SCENES["ships"]
    policy = ships.policy + UNASKED + (SSH if signed else "")
    write_project(tmp_path, CrashScenario("replays", "done", policy=policy, stages=ships.stages))
    signers = keys.line("olga") + keys.line("eve")
    write_files(tmp_path / "greeter", {".github/allowed_signers": signers})
    git(tmp_path / "greeter", "add", "-A")
    git(tmp_path / "greeter", "commit", "-q", "-m", "Signers")
    async with open_lifecycle(tmp_path) as house:
        yield house


def ask(house: LifecycleHarness, old: Run, name: str, **wish: Any) -> Run:
    """Ask for a replay, as a user of this machine."""
    return replay(
        ReplayRequest(old, **wish),
        ledger=house.ledger,
        settings=house.shared.settings,
        person=Person(name, "local"),
        environment={},
    )


async def test_whom_policy_names_replays(house: LifecycleHarness) -> None:
    """Mutation tried: `replay` without `require_allowed`."""
    done = await house.run()
    house.ledger.runs.ask(done.id, "rollback", actor="ana")
    done = await house.carry(done)
    with pytest.raises(NotAllowed, match="eve may not replay"):
        ask(house, done, "eve", stage="testing")
    assert house.ledger.newest(done.id).kind == "command.refused"
    again = await house.carry(ask(house, done, "olga", stage="testing"))
    assert (again.status, again.requester) == ("done", "olga")
    house.ledger.audit(again.id)


@pytest.mark.parametrize("house", [True], indirect=True)
async def test_a_replay_is_signed_where_commands_are(house: LifecycleHarness, keys: Keys) -> None:
    """Mutation tried: `accept` without the signature; the engine without `require_replay_allowed`."""
    done = await house.run()
    with pytest.raises(NotAllowed, match="eve may not replay"):
        ask(house, done, "olga", rehearse=True, key=keys.of("eve").file)
    with pytest.raises(NotAllowed, match="not among the run's allowed signers"):
        ask(house, done, "olga", rehearse=True, key=keys.of("bo").file)
    refused = [event.kind for event in house.ledger.events(done.id)][-2:]
    assert refused == ["command.refused"] * 2
    rehearsal = ask(house, done, "ana", rehearse=True, key=keys.of("olga").file)
    assert ((await house.carry(rehearsal)).status, rehearsal.requester) == ("done", "olga")
    assert house.ledger.audit(rehearsal.id).signatures == 1


async def test_the_engine_runs_no_forged_replay(house: LifecycleHarness) -> None:
    """Mutation tried: `_run_pipeline` without `require_replay_allowed`."""
    done = await house.run()
    policy, ticket = (
        house.ledger.artifacts.get(done.policy, StoredPolicy),
        house.ledger.artifacts.get(done.ticket, Ticket),
    )
    run = accepted(
        house.ledger,
        "run-two",
        ticket=ticket,
        policy=policy,
        repository=done.repository,
        base_commit=done.base_commit,
        requester="eve",
        options=done.options,
        origin=Origin(run=done.id, stage="prd", mode="rehearse"),
    )
    stopped = await house.carry(run)
    assert (stopped.status, house.ledger.attempts.list(run.id)) == ("failed", [])
    assert "eve may not replay" in str(stopped.reason)


def forged(desk: Desk, origin: Origin, **accepting: Any) -> Run:
    """A replay that the ledger's own code accepted."""
    return accepted(desk.ledger, "run-two", origin=origin, **accepting)


def test_a_forged_replay_does_not_run_and_audit_names_it(desk: Desk) -> None:
    """Mutation tried: `require_replay_allowed` returns at once; `_check_replay` returns 0."""
    desk.accept(commands={"replay": ["ana"]})
    run = forged(desk, Origin(run="run-one", stage="testing", mode="replay"), requester="eve")
    with pytest.raises(NotAllowed, match="eve may not replay run run-one"):
        desk.ledger.commands.require_replay_allowed(run)
    with pytest.raises(TrailBroken, match="eve may not replay") as broken:
        desk.ledger.audit(run.id)
    assert broken.value.context["row"] == "events/run-two/1"


@pytest.mark.parametrize("attack", ["", "by eve", "of another run", "of another stage"])
def test_a_forged_replay_needs_a_signature(desk: Desk, attack: str) -> None:
    """Mutation tried: the statement without the new run, or without the stage."""
    old = desk.signed_run(commands={"replay": ["ana"]})
    origin = Origin(run=old.id, stage="testing", mode="replay")
    named = replay_command(
        "run-three" if attack == "of another run" else "run-two",
        origin.model_copy(update={"stage": "prd"}) if attack == "of another stage" else origin,
        "ana",
    )
    content = desk.ledger.commands.statement(named).content()
    signature = sign(content, desk.keys.of("eve" if attack == "by eve" else "ana"), namespace=COMMAND_NAMESPACE)
    signers = AllowedSigners(text=desk.keys.line("ana") + desk.keys.line("bo"))
    policy = policy_with(allowed_signers=signers.digest)
    run = forged(desk, origin, policy=policy, also=[signers], signature=signature if attack else "")
    with pytest.raises(NotAllowed):
        desk.ledger.commands.require_replay_allowed(run)
    with pytest.raises(TrailBroken):
        desk.ledger.audit(run.id)


def test_a_signed_replay_counts(desk: Desk) -> None:
    old = desk.signed_run(commands={"replay": ["ana"]})
    origin = Origin(run=old.id, stage="testing", mode="replay")
    content = desk.ledger.commands.statement(replay_command("run-two", origin, "ana")).content()
    signature = sign(content, desk.keys.of("ana"), namespace=COMMAND_NAMESPACE)
    run = forged(desk, origin, signature=signature)
    desk.ledger.runs.ask(old.id, "cancel", actor="bo", signature=desk.command_signature(old, "cancel", "bo"))
    desk.ledger.commands.require_replay_allowed(run)
    assert desk.ledger.audit(run.id).signatures == 1
