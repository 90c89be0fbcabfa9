"""Makes the migrations of a release: the team's own commands, in the files of the commit that was approved.

Called by the saga, which keeps the record. Where a migration lives is the change, so this is the one command of a
release that runs in the change's files and not in those the run began with (decision 21). docs/migrations.md has the
contract with the commands.

    <state>/services/<service>/releases/<id>.migrations/
        source    clean checkout of the approved commit
        log       what the commands said
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

from phasegate.infra.deploy.command.runner import CommandFailed, inherited_environment, run_command, run_to_end
from phasegate.infra.deploy.process.services import GRACE
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.deploy.sources import Sources, nothing
from phasegate.infra.errors import MigrationFailed
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.policy.migrations import MigrationClass
from phasegate.infra.system.processes import stop_all

MigrationState = Literal["pending", "partly", "done"]

_TRIES = 3
_BETWEEN_TRIES = timedelta(seconds=1)


class MigrationStep(BaseModel):
    """A migration that is to be made; what the ledger keeps as the effect's intent.

    Attributes:
        migration: What is migrated, in the plan's words.
        migration_class: Its class.
        files: The files of the change that it consists of.
        command: What makes it, for `/bin/sh`.
        release_id: Whose migration it is.
        commit: The approved commit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    migration: str
    migration_class: MigrationClass
    files: tuple[str, ...] = ()
    command: str
    release_id: str
    commit: str


class MigrationMade(BaseModel):
    """Result of making a migration.

    Attributes:
        found: True if it was made already: `status` said so, and nothing was run.
        output: The end of what its command said.
        log: The file that has all of it.
    """

    model_config = ConfigDict(frozen=True)

    found: bool
    output: str = ""
    log: str


class _StatusOutput(BaseModel):
    """Output of `status`. Unknown keys are allowed: a team's tools say more than phasegate asks."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: MigrationState


class Migrator:
    """Makes one service's migrations."""

    def __init__(
        self,
        policy: DeployPolicy,
        *,
        service: str,
        state_folder: Path,
        checkout: Callable[[str, Path], None],
        environment: Mapping[str, str],
        prepare: Callable[[Path], Awaitable[None]] = nothing,
        between_tries: timedelta = _BETWEEN_TRIES,
    ) -> None:
        """Name the service and where its migrations come from.

        Args:
            policy: `[deploy]`.
            service: The service's folder name, unique to its repository.
            state_folder: Phasegate's state.
            checkout: Writes a commit's files into a folder that does not exist yet; run in a thread.
            environment: Where PATH, HOME, LANG and the names of `deploy.environment` are taken from.
            prepare: Sets a fresh checkout up, once.
            between_tries: Before a command that said so is run once more.
        """
        self._policy = policy
        self._folder = ServiceFolder(state_folder, service)
        self._sources = Sources(self._folder, checkout, prepare)
        self._environment = environment
        self._between_tries = between_tries

    async def make(self, step: MigrationStep, key: str) -> MigrationMade:
        """Make a migration, or find it made where policy has a `status` for that.

        Args:
            step: The migration.
            key: The effect's; the same however often this is tried.

        Raises:
            MigrationFailed: Its command failed, or `status` does not say afterwards that it is done.

        Effects:
            What the command does. What an interrupted try left running is stopped first, then it is run once more.
        """
        async with self._folder.lock():
            await self._stop_what_is_left(step)
            log = str(self._log(step))
            if await self._look(step, key) == "done":
                return MigrationMade(found=True, log=log)
            output = await self._run(step, key)
            if (state := await self._look(step, key)) not in {None, "done"}:
                raise self._failed(step, f"its command ended well, but `deploy.migrations.status` says {state!r}")
            return MigrationMade(found=False, output=output, log=log)

    async def state(self, step: MigrationStep, key: str) -> MigrationState | None:
        """Stop what an interrupted try left running, and ask how far a migration has got.

        Returns:
            `None` if policy has no command that tells.

        Raises:
            MigrationFailed: The command does not say.
        """
        async with self._folder.lock():
            await self._stop_what_is_left(step)
            return await self._look(step, key)

    async def _run(self, step: MigrationStep, key: str) -> str:
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, CommandFailed) and error.temporary),
            stop=stop_after_attempt(_TRIES),
            wait=wait_fixed(self._between_tries),
            reraise=True,
        )
        try:
            return await retrying.wraps(run_to_end)(
                step.command,
                folder=await self._source(step),
                log=self._log(step),
                environment=await self._variables(step, step.migration_class, key),
                mark=self._mark(step),
                limit=self._policy.migrations.timeout,
            )
        except CommandFailed as error:
            raise self._failed(step, str(error)) from error

    async def _look(self, step: MigrationStep, key: str) -> MigrationState | None:
        if not self._policy.migrations.status:
            return None
        try:
            answer = await run_command(
                self._policy.migrations.status,
                folder=await self._source(step),
                log=self._log(step),
                environment=await self._variables(step, "status", key),
                mark=self._folder.mark("command", "migrations-status"),
                limit=self._policy.migrations.timeout,
            )
            return _StatusOutput.model_validate(answer).state
        except (CommandFailed, ValidationError) as error:
            raise MigrationFailed(
                f"`deploy.migrations.status` does not say how far {step.migration_class} migration "
                f"{step.migration!r} has got: {error}",
                remedy='It has to print a JSON object with "state": "pending", "partly" or "done".',
            ) from error

    async def _variables(self, step: MigrationStep, action: str, key: str) -> dict[str, str]:
        return {
            **inherited_environment(self._environment, self._policy.environment),
            "PHASEGATE_ACTION": action,
            "PHASEGATE_KEY": key,
            "PHASEGATE_MIGRATION": step.migration,
            "PHASEGATE_MIGRATION_CLASS": step.migration_class,
            "PHASEGATE_MIGRATION_FILES": "\n".join(step.files),
            "PHASEGATE_SERVICE": self._folder.service,
            "PHASEGATE_RELEASE_ID": step.release_id,
            "PHASEGATE_COMMIT": step.commit,
            "PHASEGATE_FILES": str(await self._source(step)),
        }

    async def _source(self, step: MigrationStep) -> Path:
        return await self._sources.ensure(_place(step), step.commit)

    async def _stop_what_is_left(self, step: MigrationStep) -> None:
        await stop_all(self._mark(step), (), grace=GRACE)

    def _mark(self, step: MigrationStep) -> str:
        return self._folder.mark("command", step.migration_class)

    def _log(self, step: MigrationStep) -> Path:
        return self._folder.release(_place(step)) / "log"

    def _failed(self, step: MigrationStep, why: str) -> MigrationFailed:
        return MigrationFailed(
            f"{step.migration_class} migration {step.migration!r} was not made: {why}",
            remedy=f"Look at {self._log(step)}. Once what stopped it is mended, `phasegate resume RUN` runs it again.",
            migration=step.migration,
        )


def _place(step: MigrationStep) -> str:
    return f"{step.release_id}.migrations"
