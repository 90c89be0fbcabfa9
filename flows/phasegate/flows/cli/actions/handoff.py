"""From a request in the ledger to the run's next stop: wake or start the engine, follow, print the result.

Shared by `run`, the decisions and the requests. The request is durable before anything here is called.
"""

from __future__ import annotations

import os

from phasegate.flows.cli.actions.engine_keys import missing_keys
from phasegate.flows.cli.actions.gate_page import record_shown
from phasegate.flows.cli.output import document, say
from phasegate.flows.cli.session import Session
from phasegate.flows.cli.views.follow import Follower
from phasegate.flows.engine import control
from phasegate.flows.engine.info import engine_alive
from phasegate.flows.views.branches import run_branches
from phasegate.flows.views.report import report
from phasegate.infra.errors import EngineUnavailable


def hand_to_engine(session: Session, run_id: str, *, as_json: bool) -> None:
    """Wake the engine for a run; start an engine if none is up.

    Raises:
        EngineUnavailable: No engine came up; the message says that the run is safe.
    """
    ensure_engine(session, run_id, as_json=as_json)
    control.wake(session.settings, run_id)


def ensure_engine(session: Session, run_id: str, *, as_json: bool) -> None:
    """Start an engine if none is up.

    Raises:
        EngineUnavailable: It did not come up.
    """
    if (engine := control.status(session.settings)) is not None:
        rehearsed = session.ledger.runs.get(run_id).options.rehearsal
        if not rehearsed and (lacks := missing_keys(engine, os.environ)):
            say(f"! The engine was started without {', '.join(lacks)}. If this run needs it:", as_json=as_json)
            say("  phasegate down && phasegate up --detach", as_json=as_json)
        return
    is_starting = engine_alive(session.settings)
    say("The engine is starting." if is_starting else "No engine is up: starting one.", as_json=as_json)
    try:
        control.start(session.settings, on_progress=lambda text: say(f"  {text}", as_json=as_json))
    except EngineUnavailable as error:
        raise EngineUnavailable(
            f"{error.message}\nRun {run_id} is safe in the ledger.",
            remedy=f"{error.remedy} Then continue with `phasegate up --detach` and `phasegate watch {run_id}`.",
            run=run_id,
        ) from error


def follow(session: Session, run_id: str, *, as_json: bool, after: int = 0) -> int:
    """Show a run until it stops, then say how it stands; with JSON, print its report instead.

    Args:
        session: Whose ledger.
        run_id: The run.
        as_json: One document at the end, and nothing before it.
        after: The last event that need not be shown.

    Returns:
        The exit code for the run's status.
    """
    from phasegate.flows.cli.views.live import open_watcher

    follower = Follower(session.ledger, run_id, lambda: engine_alive(session.settings), after)
    with open_watcher(session.ledger, as_json=as_json) as watcher:
        follower.until_stopped(watcher)
    return print_result(session, run_id, as_json=as_json)


def print_result(session: Session, run_id: str, *, as_json: bool) -> int:
    """Print a run's state.

    Returns:
        The exit code for the state; 0 while the run continues.
    """
    outcome = report(session.ledger, run_id)
    if as_json:
        document(outcome.document())
        record_shown(session, outcome)
    else:
        from phasegate.flows.cli.views.next_steps import next_steps

        for line in next_steps(outcome, run_branches(outcome)):
            say(line)
    return outcome.exit_code or 0
