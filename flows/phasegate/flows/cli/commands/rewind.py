"""`phasegate rewind`: put a run back to one of its checkpoints."""

from __future__ import annotations

from typing import Any

import click

from phasegate.flows.cli.options import example, json_option, run_argument, signing_options, yes_option
from phasegate.infra.errors import UsageError

_DIGITS = 9
"""Digits that the number of a checkpoint may have."""


@click.command(epilog=example("phasegate rewind latest 7 --wait"))
@run_argument
@click.argument("checkpoint")
@yes_option
@click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code.")
@signing_options
@json_option
def rewind(run: str, checkpoint: str, wait: bool, as_json: bool, yes: bool, **signing: Any) -> int:
    """Put a run back to a checkpoint, from where it continues.

    Its code (untracked files too), its conversation and its gates are as they were; effects made since are undone,
    newest first. What is thrown away is kept in git. CHECKPOINT is a number of `phasegate checkpoints`. A run that
    works is paused first. On a terminal it shows the effects first, and asks. RUN is an id, the beginning of
    one, or "latest".
    """
    from phasegate.flows.cli.actions.confirm import asks_first, confirmed, print_undoing
    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine
    from phasegate.flows.cli.actions.signing import command_giver
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.checkpoints import plan_rewind, request_rewind
    from phasegate.flows.views.report import report

    with opened() as session:
        record = session.run(run)
        number = _number(checkpoint, record.id)
        planned = plan_rewind(session.ledger, record, number)
        asks = not signing.get("printing") and asks_first(yes=yes, as_json=as_json)
        if asks and not confirmed(record.id, "rewind", planned.effects):
            return 1
        position = session.ledger.newest(record.id).position
        if (giver := command_giver(session, record, "rewind", signing, checkpoint=number)) is None:
            return 0
        request_rewind(session.ledger, record, number, actor=giver.name, signature=giver.signature)
        if not asks:
            print_undoing(record.id, planned.effects, as_json=as_json)
        say(f"Run {record.id} goes back to checkpoint {number}.", as_json=as_json)
        say(f"What is thrown away stays under refs/phasegate/{record.id}/rewound/.", as_json=as_json)
        hand_to_engine(session, record.id, as_json=as_json)
        if wait:
            return follow(session, record.id, as_json=as_json, after=position)
        if as_json:
            document(report(session.ledger, record.id).document())
        return 0


def _number(checkpoint: str, run_id: str) -> int:
    """The number of a checkpoint.

    Raises:
        UsageError: It is none.
    """
    if not (checkpoint.isascii() and checkpoint.isdigit() and 0 < len(checkpoint) <= _DIGITS):
        raise UsageError(
            f"a checkpoint is a number, and {checkpoint!r} is none",
            remedy=f"List them with `phasegate checkpoints {run_id}`.",
        )
    return int(checkpoint)
