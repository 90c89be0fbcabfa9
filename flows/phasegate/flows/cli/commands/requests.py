"""`phasegate pause|resume|cancel|rollback`: a person's requests to a run, apart from its gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

from phasegate.flows.cli.options import example, json_option, run_argument, signing_options, yes_option

if TYPE_CHECKING:
    from phasegate.infra.ledger import Effect

_SAID = {
    "pause": "Run {run} pauses after the turn it is in. Continue with `phasegate resume {run}`.",
    "resume": "Run {run} goes on.",
    "cancel": "Run {run} is being cancelled; what it did is undone.",
    "rollback": "Run {run} is being rolled back; what it did is undone, newest first.",
}
_UNDOING = ("cancel", "rollback")


def _request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        json_option,
        signing_options,
        click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code."),
        run_argument,
    ):
        command = decorate(command)
    return command


@click.command(epilog=example("phasegate pause latest"))
@_request_options
def pause(run: str, wait: bool, as_json: bool, **signing: Any) -> int:
    """Stop a run after the turn it is in, losing nothing."""
    return _request("pause", run, wait=wait, as_json=as_json, **signing)


@click.command(epilog=example("phasegate resume latest --wait"))
@_request_options
def resume(run: str, wait: bool, as_json: bool, **signing: Any) -> int:
    """Continue a stopped run from where it stopped.

    For runs that are paused, failed, or need an operator. No finished stage is executed again. A run that used up its
    attempts gets one more.
    """
    return _request("resume", run, wait=wait, as_json=as_json, **signing)


@click.command(epilog=example("phasegate cancel latest"))
@yes_option
@_request_options
def cancel(run: str, wait: bool, as_json: bool, yes: bool, **signing: Any) -> int:
    """End a run, and undo what it did to the world.

    On a terminal it shows the effects first, and asks.
    """
    return _request("cancel", run, wait=wait, as_json=as_json, yes=yes, **signing)


@click.command(epilog=example("phasegate rollback latest --wait"))
@yes_option
@_request_options
def rollback(run: str, wait: bool, as_json: bool, yes: bool, **signing: Any) -> int:
    """Undo every effect of a run, newest first.

    On a terminal it shows the effects first, and asks.

    Also after the run is done: the release before it serves again, and the merge is reverted. One that could not be
    undone stops the rollback: mend what its message names, then `phasegate resume` continues from there. After a
    migration that cannot be undone there is no way back, and this refuses.
    """
    return _request("rollback", run, wait=wait, as_json=as_json, yes=yes, **signing)


def _request(
    request: Literal["pause", "resume", "cancel", "rollback"],
    reference: str,
    *,
    wait: bool,
    as_json: bool,
    yes: bool = False,
    **signing: Any,
) -> int:
    from phasegate.flows.cli.actions.confirm import asks_first, confirmed, print_undoing
    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine, print_result
    from phasegate.flows.cli.actions.signing import command_giver
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.reversibility import effects_to_undo, require_reversible
    from phasegate.flows.views.branches import run_branches
    from phasegate.flows.views.report import report

    with opened() as session:
        run = session.run(reference)
        if request == "rollback" and run.status == "rolled-back":
            say(f"Run {run.id} is rolled back already: there is nothing left to undo.", as_json=as_json)
            return print_result(session, run.id, as_json=as_json)
        position = session.ledger.newest(run.id).position
        effects: list[Effect] = []
        asks = request in _UNDOING and not signing.get("printing") and asks_first(yes=yes, as_json=as_json)
        if request in _UNDOING:
            require_reversible(session.ledger, run.id, request)
            effects = effects_to_undo(session.ledger, run.id, "cancelled" if request == "cancel" else "")
        if asks and not confirmed(run.id, request, effects):
            return 1
        if (giver := command_giver(session, run, request, signing)) is None:
            return 0
        if request == "resume":
            session.ledger.runs.resume(run.id, actor=giver.name, signature=giver.signature)
        else:
            session.ledger.runs.ask(run.id, request, actor=giver.name, signature=giver.signature)
        if request in _UNDOING and not asks:
            print_undoing(run.id, effects, as_json=as_json)
        say(_SAID[request].format(run=run.id), as_json=as_json)
        hand_to_engine(session, run.id, as_json=as_json)
        if wait:
            return follow(session, run.id, as_json=as_json, after=position)
        outcome = report(session.ledger, run.id)
        if as_json:
            document(outcome.document())
        elif request in _UNDOING and run_branches(outcome).merged:
            say(f"`phasegate watch {run.id}` says when it is done, and which branch has the revert of the merge.")
        return 0
