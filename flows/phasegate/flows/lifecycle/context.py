"""Context of a run under way, for its stages. Made by `runner` for each pass over the pipeline."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from phasegate.agents.conventions import conventions
from phasegate.agents.loop import AgentRuntime, Budget, NoBudget, RunBudget
from phasegate.flows.engine.resources import Resources
from phasegate.flows.engine.wakeups import can_wait_in_process, current_wakeups
from phasegate.flows.lifecycle.signals import CancelRequested, InputRequired, PauseRequested, Rewound
from phasegate.flows.lifecycle.worktree import RunWorktree
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.flows.runs.interrupt_decisions import granted_budgets
from phasegate.infra.deploy.migrations.migrator import Migrator
from phasegate.infra.deploy.open import open_target
from phasegate.infra.deploy.process.services import service_name
from phasegate.infra.deploy.target import DeployTarget
from phasegate.infra.errors import SetupFailed
from phasegate.infra.ledger import Run
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.policy.model import ADMIN, Policy, StageName
from phasegate.infra.sandbox import Sandbox, open_sandbox, run_setup
from phasegate.infra.tickets.ticket import Ticket
from phasegate.infra.workspace import Repository, Workspace
from phasegate.infra.workspace.clone import clone

_LOG_CHARACTERS = 4_000
_HEAD_START_SECONDS = 0.05
"""From a decision to the next stage's first model call, and a little more."""

Result = TypeVar("Result")


class RunContext:
    """A run, and everything that follows from it.

    Attributes:
        run: The run as it stood when it was taken up.
        shared: Resources that the engine shares among runs.
        keeps_tests: True if the approval of gate `change` keeps the characterization tests in the change.
    """

    def __init__(self, run: Run, shared: Resources) -> None:
        """Take a run up."""
        self.run, self.shared, self.keeps_tests = run, shared, False
        self._numbers = Counter[tuple[str, str]]()
        self._tasks: list[asyncio.Task[Any]] = []

    @cached_property
    def policy(self) -> Policy:
        """The policy at the base commit."""
        return self.shared.ledger.artifacts.get(self.run.policy, StoredPolicy).policy

    @cached_property
    def ticket(self) -> Ticket:
        """The ticket of the run."""
        return self.shared.ledger.artifacts.get(self.run.ticket, Ticket)

    @cached_property
    def repository(self) -> Repository:
        """The user's repository.

        Raises:
            RepositoryError: It is not there any more.
        """
        return Repository.open(Path(self.run.repository))

    @cached_property
    def conventions(self) -> str:
        """The repository's conventions at the base commit; a part of every brief."""
        return conventions(partial(self.repository.read_file, self.run.base_commit))

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox that commands run in."""
        return open_sandbox(self.policy.sandbox, self.shared.settings.home)

    @cached_property
    def budget(self) -> Budget:
        """Budget of the run's agents as of this pass: a grant leads to another. A rehearsal uses nothing."""
        if self.rehearses:
            return NoBudget()
        ledger, policy = self.shared.ledger, self.policy
        return RunBudget(
            ledger, policy.budget, granted_budgets(ledger, self.run.id, admins=policy.roles.get(ADMIN, ()))
        )

    @property
    def agent_runtime(self) -> AgentRuntime:
        """Resources that all agents of this run share."""
        signal = partial(current_wakeups().subscribe, self.run.id)
        return AgentRuntime(self.shared.ledger, self.shared.threads, self.budget, self.should_yield, signal)

    @property
    def service(self) -> str:
        """The service's name on its target."""
        return service_name(Path(self.run.repository))

    @cached_property
    def target(self) -> DeployTarget:
        """The deploy target of this repository."""
        shared, files = self.shared, partial(self.checkout, self.run.base_commit)
        return open_target(
            self.policy.deploy,
            Path(self.run.repository),
            shared.settings,
            shared.environment,
            files=files,
            prepare=self.set_up,
            needed=self._releases_in_use,
        )

    def _releases_in_use(self) -> set[str]:
        """The releases that a run of this repository which has not ended made, or would go back to."""
        ledger = self.shared.ledger
        effects = (
            effect
            for run in ledger.runs.list(statuses=("accepted", "running", "waiting", "paused", "needs-operator"))
            if run.repository == self.run.repository
            for effect in ledger.effects.list(run.id)
        )
        named = (effect.intent.get(name) for effect in effects for name in ("release_id", "previous"))
        return {str(release_id) for release_id in named if release_id}

    @cached_property
    def migrator(self) -> Migrator:
        """Makes the migrations of this repository's releases."""
        return Migrator(
            self.policy.deploy,
            service=self.service,
            state_folder=self.shared.settings.home,
            checkout=partial(clone, self.repository),
            environment=self.shared.environment,
            prepare=self.set_up,
        )

    @property
    def rehearses(self) -> bool:
        """True if an earlier run's record answers the run, and it performs nothing."""
        return self.run.origin is not None and self.run.origin.mode == "rehearse"

    @property
    def extra_attempts(self) -> int:
        """Attempts that an operator granted; a rehearsal also has those of its original."""
        behind = self.shared.ledger.runs.get(self.run.origin.run).grants if self.run.origin and self.rehearses else 0
        return self.run.grants + behind

    def model_for(self, stage: StageName) -> str:
        """The `provider:model` that works on a stage."""
        return self.run.options.model or self.policy.agents.model_for(stage)

    def next_number(self, stage: str, part: str = "") -> int:
        """The number of the next attempt, skipping those that a rewind discarded.

        Each pass counts from the start again, so it gets the same numbers.
        """
        self._numbers[stage, part] += 1
        while (stage, part, self._numbers[stage, part]) in self._superseded:
            self._numbers[stage, part] += 1
        return self._numbers[stage, part]

    @cached_property
    def _superseded(self) -> set[tuple[str, str, int]]:
        behind = self.shared.ledger.attempts.list(self.run.origin.run) if self.run.origin else []
        known = [*self.shared.ledger.attempts.list(self.run.id), *behind]
        return {(attempt.stage, attempt.part, attempt.number) for attempt in known if attempt.superseded}

    def resume_numbering_at(self, stage: str, number: int, part: str = "") -> None:
        """Number the next attempt of a stage, for example after adopted attempts of an earlier run."""
        self._numbers[stage, part] = max(self._numbers[stage, part], number - 1)

    def ends_with(self, *stages: str) -> bool:
        """True if the policy's last stage is one of these."""
        return self.policy.lifecycle.stages[-1] in stages

    def start_background(
        self, work: Coroutine[Any, Any, Result], *, low_priority: bool = False
    ) -> asyncio.Task[Result]:
        """Start a background coroutine; it is cancelled when the pipeline exits.

        Args:
            work: The coroutine.
            low_priority: True if the pipeline goes first: both share a thread, and a person may wait for the pipeline.
        """
        task = asyncio.create_task(_after_head_start(work) if low_priority else work)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began
        self._tasks.append(task)
        return task

    async def cancel_background(self) -> None:
        """Cancel the background coroutines that still run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def should_yield(self) -> bool:
        """True if agents must stop after this turn: a pause was requested, or a background agent waits for a person."""
        return self.shared.ledger.runs.request(self.run.id) == "pause" or self.blocked_background_agent() is not None

    def blocked_background_agent(self) -> InputRequired | None:
        """Signal of a background agent that waits for a person, or None. The person is asked at once."""
        ended = (task for task in self._tasks if task.done() and not task.cancelled())
        return next((why for task in ended if isinstance(why := task.exception(), InputRequired)), None)

    def raise_if_interrupted(self, *, finish_turn: bool = False) -> None:
        """Leave the pipeline if a person asked for it.

        Args:
            finish_turn: True while an attempt is under way: a pause then waits for the end of the turn.

        Raises:
            PauseRequested: A pause was asked for.
            Rewound: A person asked the run to go back to a checkpoint.
            CancelRequested: A person asked the run to end.
        """
        request = self.shared.ledger.runs.get(self.run.id).request
        if request == "pause":
            if not finish_turn:
                raise PauseRequested
        elif request == "rewind":
            raise Rewound
        elif request:
            raise CancelRequested(request)

    def report_step(self, stage: str, text: str, progress: Mapping[str, Any] | None = None) -> None:
        """Record the current step of a stage, for the people who watch; `progress` stores it as data too."""
        payload = payloads.StageStep(stage=stage, text=text)
        if progress:
            payload["progress"] = dict(progress)
        self.shared.ledger.note(self.run.id, EventKind.STAGE_STEP, payload=payload, synced=False)

    async def checkout(self, commit: str) -> Path:
        """A clean folder with a commit's files, for agents that only read; made once."""
        folder = self.shared.settings.workspaces / self.run.id / commit[:16]
        if not folder.exists():
            making = folder.with_name(f".{folder.name}.{id(self)}")
            await asyncio.to_thread(self.repository.export, commit, making)
            try:
                making.rename(folder)
            except OSError:  # a concurrent stage made it
                if not folder.exists():
                    raise
        return folder

    @cached_property
    def worktree(self) -> RunWorktree:
        """The worktree in which this run's agents change files."""
        folder = self.shared.settings.workspaces / self.run.id / "work"
        create = partial(
            Workspace.create, self.repository, self.run.id, self.run.base_commit, folder, self.shared.secrets
        )
        return RunWorktree(folder, create, self.set_up)

    def prepare_worktree(self) -> None:
        """Make the worktree while a person thinks, for the agent that works in it once they have said yes.

        Only where the gate waits in this process: a run that is suspended costs nothing but its rows.
        """
        if self.run.origin is None and can_wait_in_process(current_wakeups(), self.shared.settings):
            self._tasks.append(self.worktree.prepare())

    async def discard_unused_worktree(self) -> None:
        """Remove a prepared worktree that no agent used."""
        if not any(one.stage == "implementation" for one in self.shared.ledger.attempts.list(self.run.id)):
            await self.worktree.discard_unused()

    async def service_log(self, release_id: str, *, characters: int = _LOG_CHARACTERS) -> str:
        """The end of a release's log, as evidence for the agent that explains a breach."""
        return await self.target.log(release_id, characters=characters)

    async def set_up(self, folder: Path) -> None:
        """Run the project's setup command in a fresh checkout.

        Raises:
            SetupFailed: It failed; the message carries the end of its output.
        """
        command = self.policy.project.setup
        if not command:
            return
        result = await run_setup(self.sandbox, self.policy, folder)
        if result.exit_code != 0 or result.timed_out:
            said = self.shared.secrets.mask(result.output).text
            raise SetupFailed(
                f"`{command}` failed with exit code {result.exit_code}:\n{said[-2000:]}",
                remedy="Mend project.setup in phasegate.toml; if it needs the network, set sandbox.setup_network.",
            )


async def run_to_completion(work: Coroutine[Any, Any, Result]) -> Result:
    """Await a coroutine to its end, even if the run is cancelled meanwhile; the cancellation follows then."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    finally:
        await asyncio.wait({doing})


async def _after_head_start(work: Coroutine[Any, Any, Result]) -> Result:
    await asyncio.sleep(_HEAD_START_SECONDS)
    return await work
