"""This machine at one moment: its engine, its runs, its services. For `status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from textwrap import indent
from typing import Any

from rich.console import ConsoleRenderable, Group
from rich.text import Text

from phasegate.flows.cli.sanitize import one_line, sanitize
from phasegate.flows.cli.session import Session
from phasegate.flows.cli.views.remote_services import Unreachable, remote_services
from phasegate.flows.cli.views.run_table import runs_table
from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.flows.views.pending import Pending, pending
from phasegate.flows.views.progress import RolloutProgress, progress_of
from phasegate.infra.deploy.process.services import services
from phasegate.infra.deploy.target import LiveRelease, TargetState
from phasegate.infra.ledger import Run


@dataclass(frozen=True)
class Machine:
    """State of this machine.

    Attributes:
        engine: The engine; None if none is up.
        login_url: Link that logs a browser in to Prefect's pages, once and within five minutes.
        runs: Every run that continues or waits for a person, newest first.
        waits: Run id to its open gates and questions.
        services: All services that were released from this state folder, on any target.
        unreachable: The services whose target does not say what serves.
        progress: Run id to the progress of its rollout, if it has one.
    """

    engine: EngineInfo | None
    login_url: str
    runs: list[Run]
    waits: dict[str, Pending]
    services: list[TargetState]
    unreachable: list[Unreachable]
    progress: dict[str, RolloutProgress]

    def document(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "engine": None if self.engine is None else {**asdict(self.engine), "login_url": self.login_url},
            "runs": [
                {
                    **run.model_dump(mode="json"),
                    "open_gates": self.waits[run.id].names,
                    "asks": self.waits[run.id].asks,
                    "progress": self.progress[run.id].model_dump(mode="json") if run.id in self.progress else None,
                }
                for run in self.runs
            ],
            "services": [state.model_dump(mode="json") for state in self.services],
            "silent": [asdict(service) for service in self.unreachable],
        }


def look(session: Session) -> Machine:
    """Look at everything, once."""
    runs = session.ledger.runs.list(statuses=("accepted", "running", "waiting", "paused", "needs-operator"))
    waits = {run.id: pending(session.ledger, run) for run in runs}
    targets = [*services(session.settings.home), *remote_services(session)]
    states = [target for target in targets if isinstance(target, TargetState)]
    unreachable = [target for target in targets if isinstance(target, Unreachable)]
    progress = {run.id: latest for run in runs if (latest := progress_of(session.ledger, run)) is not None}
    engine = control.status(session.settings)
    login_url = "" if engine is None else control.login_link(session.settings, engine)
    return Machine(engine, login_url, runs, waits, states, unreachable, progress)


def engine_text(machine: Machine) -> str:
    """The engine for a terminal; the link is a line of its own, which no width may break."""
    if machine.engine is None:
        return "No engine is up. `phasegate up` starts one; `phasegate run` does so by itself."
    lines = [f"The engine is up (pid {machine.engine.process.pid}). Prefect shows it on", f"  {machine.login_url}"]
    lines += [f"Prefect was altered, at {sanitize(alteration)}" for alteration in machine.engine.alterations]
    return "\n".join(lines)


def page(machine: Machine) -> Group:
    """The runs and services of the machine for a terminal."""
    return Group(*_parts(machine))


def _parts(machine: Machine) -> Iterator[ConsoleRenderable]:
    if machine.runs:
        yield runs_table(machine.runs, machine.waits)
    else:
        yield Text("No run is at work, and none waits for a person.")
    for run_id, progress in machine.progress.items():
        yield Text(f"{run_id}, {progress.stage}: {one_line(progress.text, 300)}")
    for state in machine.services:
        yield Text("\n".join(_service(state)))
    for service in machine.unreachable:
        yield Text(f"service {sanitize(service.service)} on target {service.target}: what serves is not known")
        yield Text(indent("\n".join(sanitize(text) for text in (service.problem, service.remedy) if text), "  "))


def _service(state: TargetState) -> Iterator[str]:
    where = "" if state.target == "process" else f" on target {state.target}"
    current = state.current
    serves = f"release {sanitize(current.release_id)} {_health(current)}" if current else "nothing is released"
    yield f"service {sanitize(state.service)}{where}: {serves}"
    for candidate in state.candidates:
        share = f"takes {candidate.weight:g} % of the traffic"
        yield f"  candidate {sanitize(candidate.release_id)} {share}, {_health(candidate)}"
    if state.previous is not None:
        yield f"  the release before it was {sanitize(state.previous)}"


def _health(release: LiveRelease) -> str:
    if not release.alive:
        return f"is not alive: {sanitize(release.detail)}"
    answers = f"answers on {sanitize(release.url)}" if release.url else "is alive"
    return f"{answers} ({sanitize(release.detail)})" if release.detail else answers
