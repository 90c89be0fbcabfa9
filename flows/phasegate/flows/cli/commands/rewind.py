"""`phasegate rewind`: put a run back to one of its checkpoints."""

from __future__ import annotations

from typing import Any

import click

from phasegate.flows.cli.options import example, json_option, run_argument, signing_options


@click.command(epilog=example("phasegate rewind latest 7 --wait"))
@run_argument
@click.argument("checkpoint", type=click.IntRange(min=1))
@click.option("--wait", is_flag=True, help="Follow the run to its next stop and exit with its exit code.")
@signing_options
@json_option
def rewind(run: str, checkpoint: int, wait: bool, as_json: bool, **signing: Any) -> int:
    """Put a run back to a checkpoint, from where it continues.

    Its code (untracked files too), its conversation and its gates are as they were; effects made since are undone,
    newest first. What is thrown away is kept in git. CHECKPOINT is a number of `phasegate checkpoints`. A run that
    works is paused first. RUN is an id, the beginning of one, or "latest".
    """
    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine
    from phasegate.flows.cli.actions.signing import command_giver
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.checkpoints import request_rewind
    from phasegate.flows.views.report import report

    with opened() as session:
        record = session.run(run)
        position = session.ledger.newest(record.id).position
        if (giver := command_giver(session, record, "rewind", signing, checkpoint=checkpoint)) is None:
            return 0
        planned = request_rewind(session.ledger, record, checkpoint, actor=giver.name, signature=giver.signature)
        undone = ", ".join(effect.kind for effect in reversed(planned.effects)) or "none"
        say(f"Run {record.id} goes back to checkpoint {checkpoint}. Effects to undo: {undone}.", as_json=as_json)
        say(f"What is thrown away stays under refs/phasegate/{record.id}/rewound/.", as_json=as_json)
        hand_to_engine(session, record.id, as_json=as_json)
        if wait:
            return follow(session, record.id, as_json=as_json, after=position)
        if as_json:
            document(report(session.ledger, record.id).document())
        return 0
