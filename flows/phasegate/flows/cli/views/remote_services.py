"""Services on other targets than this machine, for `status`: each target is asked once, with a short timeout."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegate.flows.cli.session import Session
from phasegate.infra.deploy.process.services import service_name
from phasegate.infra.deploy.target import TargetState
from phasegate.infra.errors import PhasegateError
from phasegate.infra.ledger import Run
from phasegate.infra.settings import Settings

if TYPE_CHECKING:
    from phasegate.infra.policy.deploy import DeployPolicy

_LIMIT_SECONDS = 10.0


@dataclass(frozen=True)
class Unreachable:
    """A service whose target does not tell its current release.

    Attributes:
        problem: Why not.
        remedy: What a person can do about it.
    """

    target: str
    service: str
    problem: str
    remedy: str = ""


def remote_services(session: Session) -> list[TargetState | Unreachable]:
    """Current releases of the repositories whose latest release went to another target than `process`."""
    runs = [run for run in _latest(session) if _target(session, run) != "process"]
    releases = [(run, _deploy(session, run)) for run in runs]
    states = asyncio.run(_all(session.settings, releases)) if releases else []
    return sorted(states, key=lambda state: state.service)


def _latest(session: Session) -> Iterable[Run]:
    """Of each repository the run that released last."""
    runs: dict[str, Run] = {}
    for run_id in session.ledger.effects.runs("candidate"):
        run = session.ledger.runs.get(run_id)
        runs.setdefault(run.repository, run)
    return runs.values()


def _target(session: Session, run: Run) -> str:
    """Name of a run's target, from its stored policy as it is written: most runs have the default."""
    policy: dict[str, Any] = session.ledger.artifacts.json(run.policy)["policy"]
    return str(policy.get("deploy", {}).get("target", "process"))


def _deploy(session: Session, run: Run) -> DeployPolicy:
    from phasegate.flows.runs.inputs import StoredPolicy

    return session.ledger.artifacts.get(run.policy, StoredPolicy).policy.deploy


async def _all(settings: Settings, releases: Iterable[tuple[Run, DeployPolicy]]) -> list[TargetState | Unreachable]:
    return await asyncio.gather(*(_state(settings, run, deploy) for run, deploy in releases))


async def _state(settings: Settings, run: Run, deploy: DeployPolicy) -> TargetState | Unreachable:
    from phasegate.infra.deploy.open import open_target
    from phasegate.infra.workspace.repository import Repository

    repository = Path(run.repository)
    service = service_name(repository)
    with tempfile.TemporaryDirectory(prefix="status-", dir=settings.scratch) as scratch:
        own = _apart(settings, service, Path(scratch))

        async def files() -> Path:
            folder = Path(scratch) / "files"
            if not folder.exists():
                await asyncio.to_thread(Repository.open(repository).export, run.base_commit, folder)
            return folder

        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                return await open_target(deploy, repository, own, dict(os.environ), files=files).status()
        except PhasegateError as error:
            return Unreachable(deploy.target, service, error.message, error.remedy)
        except TimeoutError:
            return Unreachable(deploy.target, service, f"it has not answered within {_LIMIT_SECONDS:g} s")


def _apart(settings: Settings, service: str, scratch: Path) -> Settings:
    """The same state in a folder of its own: a look neither waits for a release under way nor ends its commands."""
    own = replace(settings, home=scratch / "home")
    own.create_folders()
    command = settings.services / service / "command.json"
    if command.exists():
        (own.services / service).mkdir()
        shutil.copy(command, own.services / service)
    return own
