"""World of a run: the repository, the sandbox, the deploy target and the folders that its stages work in.

Each is opened when a stage first asks for it. This module knows neither stages nor gates.
"""

from __future__ import annotations

import asyncio
from functools import cached_property, partial
from pathlib import Path

from phasegate.flows.lifecycle.facts import RunFacts
from phasegate.flows.lifecycle.worktree import RunWorktree
from phasegate.infra.deploy.migrations.migrator import Migrator
from phasegate.infra.deploy.open import open_target
from phasegate.infra.deploy.process.services import service_name
from phasegate.infra.deploy.target import DeployTarget
from phasegate.infra.errors import SetupFailed
from phasegate.infra.sandbox import Sandbox, open_sandbox, run_setup
from phasegate.infra.workspace import Repository, Workspace
from phasegate.infra.workspace.clone import clone

_LOG_CHARACTERS = 4_000


class RunWorld:
    """World that a run's stages read and change."""

    def __init__(self, run: RunFacts) -> None:
        """Keep the run's facts, without opening anything."""
        self._run = run

    @cached_property
    def repository(self) -> Repository:
        """The user's repository.

        Raises:
            RepositoryError: It is not there any more.
        """
        return Repository.open(Path(self._run.record.repository))

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox that commands run in."""
        return open_sandbox(self._run.policy.sandbox, self._run.settings.home)

    @property
    def service(self) -> str:
        """The service's name on its target."""
        return service_name(Path(self._run.record.repository))

    @cached_property
    def target(self) -> DeployTarget:
        """The deploy target of this repository."""
        run = self._run
        return open_target(
            run.policy.deploy,
            Path(run.record.repository),
            run.settings,
            run.resources.environment,
            files=partial(self.checkout, run.base_commit),
            prepare=self.set_up,
            needed=self._releases_in_use,
        )

    def _releases_in_use(self) -> set[str]:
        """The releases that a run of this repository which has not ended made, or would go back to."""
        ledger = self._run.ledger
        effects = (
            effect
            for run in ledger.runs.list(statuses=("accepted", "running", "waiting", "paused", "needs-operator"))
            if run.repository == self._run.record.repository
            for effect in ledger.effects.list(run.id)
        )
        named = (effect.intent.get(name) for effect in effects for name in ("release_id", "previous"))
        return {str(release_id) for release_id in named if release_id}

    @cached_property
    def migrator(self) -> Migrator:
        """Makes the migrations of this repository's releases."""
        return Migrator(
            self._run.policy.deploy,
            service=self.service,
            state_folder=self._run.settings.home,
            checkout=partial(clone, self.repository),
            environment=self._run.resources.environment,
            prepare=self.set_up,
        )

    @cached_property
    def worktree(self) -> RunWorktree:
        """The worktree in which this run's agents change files."""
        run, folder = self._run, self._run.settings.workspaces / self._run.id / "work"
        create = partial(Workspace.create, self.repository, run.id, run.base_commit, folder, run.secrets)
        return RunWorktree(folder, create, self.set_up)

    async def checkout(self, commit: str) -> Path:
        """A clean folder with a commit's files, for agents that only read; made once."""
        folder = self._run.settings.workspaces / self._run.id / commit[:16]
        if not folder.exists():
            making = folder.with_name(f".{folder.name}.{id(self)}")
            await asyncio.to_thread(self.repository.export, commit, making)
            try:
                making.rename(folder)
            except OSError:  # a concurrent stage made it
                if not folder.exists():
                    raise
        return folder

    async def service_log(self, release_id: str, *, characters: int = _LOG_CHARACTERS) -> str:
        """The end of a release's log, as evidence for the agent that explains a breach."""
        return await self.target.log(release_id, characters=characters)

    async def set_up(self, folder: Path) -> None:
        """Run the project's setup command in a fresh checkout.

        Raises:
            SetupFailed: It failed; the message carries the end of its output.
        """
        policy = self._run.policy
        command = policy.project.setup
        if not command:
            return
        result = await run_setup(self.sandbox, policy, folder)
        if result.exit_code != 0 or result.timed_out:
            output = self._run.secrets.mask(result.output).text
            raise SetupFailed(
                f"`{command}` failed with exit code {result.exit_code}:\n{output[-2000:]}",
                remedy="Mend project.setup in phasegate.toml; if it needs the network, set sandbox.setup_network.",
            )
