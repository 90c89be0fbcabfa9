"""`phasegate replay`: go back to a run, to do some of it again or to ask whether it would be the same today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from phasegate.flows.cli.options import example, json_option, key_option, run_argument

if TYPE_CHECKING:
    from phasegate.flows.cli.session import Session


@click.command(
    epilog=example(
        "phasegate replay latest",
        "phasegate replay run-5kq0 --from testing --model anthropic:claude-opus-4-6",
        "phasegate replay run-5kq0 --rehearse",
    )
)
@run_argument
@click.option("--from", "stage", default="", metavar="STAGE", help="Do this stage and all after it again.")
@click.option("--model", default="", help="PROVIDER:MODEL for the stages that are done again.")
@click.option("--repo-policy", is_flag=True, help="Go by the policy the base branch has now.")
@click.option("--rehearse", is_flag=True, help="Answer from the run's record, perform nothing, and compare.")
@click.option("--repo", type=click.Path(path_type=Path), help="The repository, if it has moved.")
@click.option("--detach", is_flag=True, help="Return as soon as the new run is accepted and handed over.")
@key_option
@json_option
def replay(
    run: str,
    stage: str,
    model: str,
    repo_policy: bool,
    rehearse: bool,
    repo: Path | None,
    detach: bool,
    key: Path | None,
    as_json: bool,
) -> int:
    """Start a new run that goes back to an earlier one.

    The stages before STAGE are adopted where what went into them is the same: no model is called for them, and people
    are not asked again about what they approved. STAGE is the first that did not finish unless you name one. RUN is an
    id, the beginning of one, or "latest".

    With --rehearse every model call is answered from the run's record and nothing is performed: it ends with "same"
    (exit 0), or with the first turn that departs and a diff of the two requests (exit 1).
    """
    import os

    from phasegate.flows.cli.actions.handoff import follow, hand_to_engine, print_result
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.sanitize import one_line
    from phasegate.flows.cli.session import opened
    from phasegate.flows.runs.replay import ReplayRequest
    from phasegate.flows.runs.replay import replay as begin
    from phasegate.flows.views.report import report

    if rehearse and detach:
        raise click.UsageError("--rehearse compares, and --detach would not wait for the outcome.")
    with opened() as session:
        request = ReplayRequest(session.run(run), stage, model, repo_policy, rehearse, repo, key)
        new = begin(
            request,
            ledger=session.ledger,
            settings=session.settings,
            person=session.person,
            environment=os.environ,
        )
        assert new.origin is not None  # noqa: S101  replay gives every run it accepts an origin
        how = "rehearses" if rehearse else f"replays, from {new.origin.stage} on,"
        say(f"Run {new.id} {how} {request.run.id}: {one_line(new.title)}", as_json=as_json)
        hand_to_engine(session, new.id, as_json=as_json)
        if rehearse:
            return _compare(session, new.id, as_json=as_json)
        if not detach:
            return follow(session, new.id, as_json=as_json)
        if as_json:
            document(report(session.ledger, new.id).document())
        else:
            print_result(session, new.id, as_json=False)
        return 0


def _compare(session: Session, run_id: str, *, as_json: bool) -> int:
    """Follow a rehearsal to its end and print its outcome."""
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.sanitize import sanitize
    from phasegate.flows.cli.views.event_text import attempt_name, reason_text
    from phasegate.flows.cli.views.follow import Follower
    from phasegate.flows.cli.views.live import open_watcher
    from phasegate.flows.cli.views.summaries import counted
    from phasegate.flows.engine.info import engine_alive
    from phasegate.infra.ledger.events import EventKind

    with open_watcher(session.ledger, as_json=as_json) as watcher:
        ended = Follower(session.ledger, run_id, lambda: engine_alive(session.settings)).until_stopped(watcher)
    events = session.ledger.events(run_id, kinds=(EventKind.REHEARSAL_DEPARTED,))
    departed = events[0].payload if events else None
    same = ended.status == "done"
    if as_json:
        where = {key: departed[key] for key in ("attempt", "turn", "why", "diff")} if departed else None
        original = ended.origin.run if ended.origin else ""
        document(
            {
                "verdict": "same" if same else "departed" if departed else "failed",
                "run": run_id,
                "original": original,
                "turns": session.ledger.exchanges.usage(run_id).turns,
                "departed": where,
                "reason": ended.reason,
            }
        )
    elif same:
        turns = counted(session.ledger.exchanges.usage(run_id).turns, "turn")
        say(f"same: {turns} as recorded; nothing was performed")
    elif departed:
        say(f"departed at {attempt_name(departed['attempt'])}, turn {departed['turn']}: {departed['why']}")
        for line in str(departed["diff"]).splitlines():
            say(sanitize(line))
    else:
        say(f"the rehearsal failed: {sanitize(reason_text(ended.reason))}")
    return 0 if same else 1
