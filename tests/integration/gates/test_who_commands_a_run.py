"""P5 for commands: who may cancel, roll back, pause, resume, rewind, steer and answer, by policy and by signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.gates.conftest import Desk

from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import AllowedSigners
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.commands import CommandName

Give = Callable[[Desk, Run, str, str], object]


def asked(desk: Desk, run: Run) -> None:
    """Ask, as an agent of the run, if the new endpoint is public."""
    attempt, _ = desk.ledger.attempts.begin(
        run.id, "implementation", "", 1, inputs={}, model="a:b", prompt="p", holder="here/1"
    )
    desk.ledger.questions.ask(attempt, 1, 0, "public?")


def stop(desk: Desk, run: Run) -> None:
    """Fail the run."""
    desk.ledger.runs.set_status(run.id, "failed", reason={"code": "x", "message": "it broke"})


def nothing(_desk: Desk, _run: Run) -> None:
    """Leave the run as it is."""


GIVEN: dict[CommandName, tuple[dict[str, Any], Callable[[Desk, Run], None], Give]] = {
    "pause": ({}, nothing, lambda desk, run, name, by: desk.ledger.runs.ask(run.id, "pause", actor=name, signature=by)),
    "cancel": (
        {},
        nothing,
        lambda desk, run, name, by: desk.ledger.runs.ask(run.id, "cancel", actor=name, signature=by),
    ),
    "rollback": (
        {},
        nothing,
        lambda desk, run, name, by: desk.ledger.runs.ask(run.id, "rollback", actor=name, signature=by),
    ),
    "resume": ({}, stop, lambda desk, run, name, by: desk.ledger.runs.resume(run.id, actor=name, signature=by)),
    "rewind": (
        {"checkpoint": 3},
        stop,
        lambda desk, run, name, by: desk.ledger.rewinds.ask(run.id, 3, actor=name, signature=by),
    ),
    "steer": (
        {"text": "be quick", "urgent": False},
        nothing,
        lambda desk, run, name, by: desk.ledger.messages.queue(run.id, "be quick", sender=name, signature=by),
    ),
    "answer": (
        {"question": "run-one/implementation/1/1/0", "text": "yes"},
        asked,
        lambda desk, run, name, by: desk.ledger.questions.answer(run.id, "yes", person=name, signature=by),
    ),
}
"""Command to its arguments, what comes before it, and the way to give it."""


@pytest.mark.parametrize("command", GIVEN)
def test_a_command_is_given_by_whom_policy_names(desk: Desk, command: CommandName) -> None:
    """Mutation tried: `require_may_command` returns at once; `require_allowed` does not record a refusal."""
    run = desk.accept(commands={command: ["ana"]})
    _, prepare, give = GIVEN[command]
    prepare(desk, run)
    before = desk.ledger.runs.get(run.id)
    with pytest.raises(NotAllowed, match=f"bo may not {command} run run-one: it needs one of ana") as refused:
        give(desk, run, "bo", "")
    assert f"[commands] {command}" in refused.value.remedy
    refusal = desk.ledger.newest(run.id)
    assert (refusal.kind, refusal.actor, refusal.payload["command"]) == ("command.refused", "bo", command)
    assert desk.ledger.runs.get(run.id) == before
    give(desk, run, "ana", "")
    desk.ledger.commands.settle(run.id)
    assert len(desk.refusals()) == 1
    desk.ledger.audit(run.id)


@pytest.mark.parametrize("command", GIVEN)
def test_a_command_is_signed_where_decisions_are(desk: Desk, command: CommandName) -> None:
    """By the right person, for this run, these arguments and this moment.

    Mutation tried: the statement without command, arguments or `after`; the signer is not compared with the actor.
    """
    run, other = desk.signed_run(commands={command: ["ana"]}), desk.signed_run("run-two", commands={command: ["ana"]})
    arguments, prepare, give = GIVEN[command]
    prepare(desk, run)
    right = desk.command_signature(run, command, "ana", **arguments)
    refused = {
        "": "signed commands only",
        desk.command_signature(run, command, "ana", key="eve", **arguments): "no key that is allowed",
        desk.command_signature(run, command, "ana", key="bo", **arguments): "of other bytes|bo signed it",
        desk.command_signature(run, command, "ana", **{**arguments, "text": "no"}): "of other bytes",
        desk.command_signature(other, command, "ana", **arguments): "of other bytes",
        desk.command_signature(run, command, "ana", namespace="phasegate-decision", **arguments): "another purpose",
        desk.command_signature(run, "clean", "ana", **arguments): "of other bytes",
    }
    for signature, why in refused.items():
        with pytest.raises(NotAllowed, match=why):
            give(desk, run, "ana", signature)
    with pytest.raises(NotAllowed, match=f"bo may not {command}"):
        give(desk, run, "bo", desk.command_signature(run, command, "bo", **arguments))
    give(desk, run, "ana", right)
    assert desk.ledger.events(run.id)[-1].payload["signature"] == right
    assert desk.ledger.audit(run.id).signatures == 1
    with pytest.raises(NotAllowed):  # used
        give(desk, run, "ana", right)


def test_a_signature_counts_once(desk: Desk) -> None:
    """Mutation tried: `after` is the hash of the run's acceptance."""
    run = desk.signed_run()
    signature = desk.command_signature(run, "steer", "bo", text="be quick", urgent=False)
    desk.ledger.messages.queue(run.id, "be quick", sender="bo", signature=signature)
    with pytest.raises(NotAllowed, match="of other bytes"):
        desk.ledger.messages.queue(run.id, "be quick", sender="bo", signature=signature)
    assert len(desk.ledger.messages.list(run.id)) == 1


def test_a_signature_of_a_moment_is_overtaken_by_another_command(desk: Desk) -> None:
    """Mutation tried: `require_latest` returns at once."""
    run = desk.signed_run()
    signature = desk.command_signature(run, "cancel", "bo")
    checked = desk.ledger.commands.require_allowed
    bo, ana = (desk.command_signature(run, "pause", name) for name in ("bo", "ana"))

    def overtaken(command: Any) -> str:
        after = checked(command)
        with_other = type(desk.ledger).open(f"sqlite:///{desk.file}", clock=desk.clock)
        with_other.runs.ask(run.id, "pause", actor="ana", signature=ana)
        with_other.close()
        return after

    desk.ledger.runs._commands.require_allowed = overtaken  # type: ignore[method-assign]  # a person is quicker
    with pytest.raises(NotAllowed, match="another command was given meanwhile"):
        desk.ledger.runs.ask(run.id, "cancel", actor="bo", signature=signature)
    assert (desk.ledger.runs.get(run.id).request, bo == ana) == ("pause", False)


def test_a_key_that_has_expired_gives_no_command(desk: Desk) -> None:
    run = desk.signed_run(text=desk.keys.line("bo", 'valid-before="20261101"'))
    with pytest.raises(NotAllowed, match="no key that is allowed"):
        desk.ledger.runs.ask(run.id, "pause", actor="bo", signature=desk.command_signature(run, "pause", "bo"))


def test_a_command_counts_though_its_key_expires_later(desk: Desk) -> None:
    """Mutation tried: `_why_refused` verifies at the time of reading."""
    run = desk.signed_run(text=desk.keys.line("bo", 'valid-before="20261201"'))
    desk.ledger.runs.ask(run.id, "pause", actor="bo", signature=desk.command_signature(run, "pause", "bo"))
    desk.clock.advance(timedelta(days=30))
    assert Ledger.open(f"sqlite:///{desk.file}", clock=desk.clock).commands.request(run.id) == "pause"
    desk.ledger.audit(run.id)


def test_users_of_the_machine_need_no_signature(desk: Desk) -> None:
    run = desk.accept()
    with pytest.raises(NotAllowed, match="no signatures"):
        desk.ledger.runs.ask(run.id, "pause", actor="bo", signature="-----BEGIN SSH SIGNATURE-----")
    assert desk.ledger.runs.ask(run.id, "pause", actor="bo").request == "pause"


FORGED = {
    EventKind.RUN_CANCEL_REQUESTED: {},
    EventKind.RUN_ROLLBACK_REQUESTED: {},
    EventKind.RUN_PAUSE_REQUESTED: {},
    EventKind.RUN_REWIND_REQUESTED: {"checkpoint": 1},
    EventKind.RUN_RESUMED: {},
}


@pytest.mark.parametrize("status", ["done", "failed", "needs-operator", "waiting", "paused"])
@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("identity", ["local", "ssh"])
def test_a_forged_request_is_refused_and_the_run_stands_as_before(
    desk: Desk, kind: EventKind, status: Any, identity: str
) -> None:
    """Mutation tried: `settle` returns at once; `_put_right` restores no status; audit without `check_commands`."""
    everything = {command: ["ana"] for command in GIVEN}
    run = desk.accept(commands=everything) if identity == "local" else desk.signed_run(commands=everything)
    desk.ledger.runs.set_status(run.id, status, reason={"code": "as-it-was"})
    before = desk.ledger.runs.get(run.id)
    desk.forge(run, kind, "eve" if identity == "local" else "ana", **FORGED[kind])
    assert desk.ledger.runs.get(run.id).status in {"running", status}
    assert desk.ledger.commands.request(run.id) == ""
    desk.ledger.commands.settle(run.id)
    assert desk.ledger.runs.get(run.id) == before
    desk.ledger.commands.settle(run.id)
    assert len(desk.refusals()) == 1
    with pytest.raises(TrailBroken, match="eve may not" if identity == "local" else "signed commands only") as broken:
        desk.ledger.audit(run.id)
    assert broken.value.context["row"] == f"events/run-one/{before_forged(desk, run)}"


def before_forged(desk: Desk, run: Run) -> int:
    """Position of the forged event, by the refusal."""
    (refusal,) = desk.ledger.events(run.id, kinds=(EventKind.COMMAND_REFUSED,))
    return int(refusal.payload["event"])


@pytest.mark.parametrize("request_", ["cancel", "rollback", "pause", "rewind"])
def test_a_request_without_an_event_is_none(desk: Desk, request_: str) -> None:
    """Mutation tried: `Standing.is_of` compares no request."""
    run = desk.accept()
    desk.sql("UPDATE runs SET request = ?", request_)
    assert desk.ledger.commands.request(run.id) == ""
    assert desk.ledger.runs.get(run.id).request == ""
    assert desk.refusals() == ["no event of the run says that a person gave it"]


def test_a_request_without_an_event_is_named_by_audit_though_a_later_event_vouches_for_the_row(desk: Desk) -> None:
    run = desk.accept()
    desk.sql("UPDATE runs SET request = 'cancel'")
    desk.ledger.runs.recovered(run.id)
    with pytest.raises(TrailBroken, match="no command gave it the request"):
        desk.ledger.audit(run.id)


def test_a_request_that_was_wiped_away_is_met_all_the_same(desk: Desk) -> None:
    run = desk.accept()
    desk.ledger.runs.ask(run.id, "cancel", actor="ana")
    desk.sql("UPDATE runs SET request = ''")
    desk.ledger.commands.settle(run.id)
    assert desk.ledger.commands.request(run.id) == "cancel"


def test_a_halted_run_whose_row_says_that_it_runs_is_halted_again(desk: Desk) -> None:
    """Mutation tried: `Standing.is_of` compares no status."""
    run = desk.accept()
    stop(desk, run)
    desk.sql("UPDATE runs SET status = 'running', reason = NULL")
    desk.ledger.commands.settle(run.id)
    assert desk.ledger.runs.get(run.id).status == "failed"
    assert desk.ledger.newest(run.id).payload["command"] == "resume"


def test_an_event_altered_in_place_is_no_command(desk: Desk) -> None:
    """Mutation tried: `Link.of` without the hash."""
    run = desk.accept(commands={"cancel": ["ana"]})
    desk.forge(run, EventKind.RUN_CANCEL_REQUESTED, "eve")
    desk.sql("UPDATE events SET actor = 'ana' WHERE kind = 'run.cancel-requested'")
    assert desk.ledger.commands.request(run.id) == ""


def test_a_signed_event_copied_from_before_is_no_command(desk: Desk) -> None:
    """A used signature in an event that the ledger's own code appended. Mutation tried: `after` is left out."""
    run = desk.signed_run()
    signature = desk.command_signature(run, "pause", "ana")
    desk.ledger.runs.ask(run.id, "pause", actor="ana", signature=signature)
    desk.ledger.runs.resume(run.id, actor="ana", signature=desk.command_signature(run, "resume", "ana"))
    desk.forge(run, EventKind.RUN_PAUSE_REQUESTED, "ana", signature=signature)
    assert desk.ledger.commands.request(run.id) == ""
    with pytest.raises(TrailBroken, match="of other bytes"):
        desk.ledger.audit(run.id)


def test_a_forged_rewind_changes_no_checkpoint_of_a_true_one(desk: Desk) -> None:
    """Mutation tried: `Rewinds.asked` reads the latest event."""
    run = desk.accept(commands={"rewind": ["ana"]})
    stop(desk, run)
    desk.ledger.rewinds.ask(run.id, 3, actor="ana")
    desk.forge(run, EventKind.RUN_REWIND_REQUESTED, "eve", checkpoint=1)
    assert (desk.ledger.commands.request(run.id), desk.ledger.rewinds.asked(run.id)) == ("rewind", 3)


def test_the_rules_are_those_that_were_accepted(desk: Desk) -> None:
    """Mutation tried: rules from the policy that the run's row names."""
    run, lax = desk.accept(commands={"cancel": ["ana"]}), desk.accept("run-lax")
    desk.sql("UPDATE runs SET policy = ? WHERE id = ?", lax.policy, run.id)
    with pytest.raises(NotAllowed, match="eve may not cancel"):
        desk.ledger.runs.ask(run.id, "cancel", actor="eve")


def test_the_signers_are_those_that_were_accepted(desk: Desk) -> None:
    run = desk.signed_run()
    forged = AllowedSigners(text=desk.keys.line("eve"))
    desk.sql("UPDATE artifacts SET content = ? WHERE content LIKE '%allowed-signers%'", forged.canonical())
    with pytest.raises(TrailBroken, match="was altered"):
        desk.ledger.runs.ask(run.id, "cancel", actor="eve", signature="-----BEGIN SSH SIGNATURE-----")
