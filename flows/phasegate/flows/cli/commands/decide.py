"""`phasegate approve|revise|reject`: a person's decision on a gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phasegate.flows.cli.options import example, json_option, run_argument
from phasegate.infra.errors import UsageError

if TYPE_CHECKING:
    from phasegate.infra.ledger import Verdict

_PAST = {"approve": "Approved", "revise": "Sent back", "reject": "Rejected"}


def _decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        json_option,
        click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code."),
        click.option("--note", default="", help="What you want to say with it; kept in the ledger."),
        click.argument("gate", metavar="[GATE]", required=False),
        run_argument,
    ):
        command = decorate(command)
    return command


@click.command(epilog=example("phasegate approve latest prd", "phasegate approve run-5kq --wait"))
@_decision_options
def approve(run: str, gate: str | None, note: str, wait: bool, as_json: bool) -> int:
    """Say go at a gate.

    Without GATE the one that is open. Your approval holds for exactly what the gate asks about; if that changes, the
    gate opens again.
    """
    return _decide("approve", run, gate, note, wait=wait, as_json=as_json)


@click.command(epilog=example('phasegate revise latest prd --note "say what an expired link answers"'))
@_decision_options
def revise(run: str, gate: str | None, note: str, wait: bool, as_json: bool) -> int:
    """Send what a gate asks about back, with a note.

    It goes to the stage that made it. Without GATE the one that is open. The gate opens anew when the stage has
    answered the note.
    """
    if not note.strip():
        raise UsageError(
            "to send something back, say what should be different", remedy='Add `--note "what should be different"`.'
        )
    return _decide("revise", run, gate, note, wait=wait, as_json=as_json)


@click.command(epilog=example('phasegate reject latest change --note "not worth the risk"'))
@_decision_options
def reject(run: str, gate: str | None, note: str, wait: bool, as_json: bool) -> int:
    """End a run at its gate, and undo what it did to the world.

    Without GATE the one that is open.
    """
    return _decide("reject", run, gate, note, wait=wait, as_json=as_json)


def _decide(verdict: Verdict, reference: str, name: str | None, note: str, *, wait: bool, as_json: bool) -> int:
    from phasegate.flows.cli.carry_on import follow, hand_over
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.plain import plain
    from phasegate.flows.cli.session import opened

    with opened() as session:
        found = session.run(reference)
        gate = session.gate(found, name)
        seen = session.ledger.events(found.id)[-1].position
        decided = session.ledger.gates.decide(gate.id, verdict, session.person, note=note)
        about = ", ".join(f"{plain(part)} {digest[:19]}" for part, digest in gate.subject.items())
        say(
            f"{_PAST[verdict]}: gate {gate.gate} of run {found.id}, about {about}, by {plain(session.person.name)}.",
            as_json=as_json,
        )
        if decided.status == "open":
            say(f"The gate needs {gate.quorum} approvals and stays open.", as_json=as_json)
        hand_over(session, found.id, as_json=as_json)
        if wait:
            return follow(session, found.id, as_json=as_json, after=seen)
        if as_json:
            decision = session.ledger.gates.decisions(found.id)[-1]
            document({"gate": decided.model_dump(mode="json"), "decision": decision.model_dump(mode="json")})
        return 0
