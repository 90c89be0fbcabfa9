"""Context of a run under way, for its stages. Made by `runner` for each pass over the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

from phasegate.agents.conventions import conventions
from phasegate.agents.loop import AgentRuntime, Budget
from phasegate.flows.engine.executor import Executor
from phasegate.flows.engine.resources import Resources
from phasegate.flows.engine.wakeups import can_wait_in_process
from phasegate.flows.lifecycle.attempt_numbers import AttemptNumbers
from phasegate.flows.lifecycle.background import Background
from phasegate.flows.lifecycle.facts import RunFacts
from phasegate.flows.lifecycle.replay.live import LiveSource
from phasegate.flows.lifecycle.replay.recorded import RecordedSource
from phasegate.flows.lifecycle.replay.source import RunSource
from phasegate.flows.lifecycle.signals import CancelRequested, PauseRequested, Rewound
from phasegate.flows.lifecycle.world import RunWorld
from phasegate.infra.ledger import Run
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.policy.model import StageName


class RunContext(RunFacts):
    """A run in one pass over the pipeline.

    Attributes:
        executor: Executor of the run, with the wake-ups of its process.
        background: Coroutines that end with the pass.
        numbers: Numbers of the attempts.
        world: The repository, the target and the folders of the run.
        keeps_tests: True if the approval of gate `change` keeps the characterization tests in the change.
    """

    def __init__(self, record: Run, resources: Resources, executor: Executor) -> None:
        """Begin a pass."""
        super().__init__(record, resources)
        self.background, self.numbers, self.world = Background(), AttemptNumbers(record, self.ledger), RunWorld(self)
        self.executor, self.keeps_tests = executor, False

    @cached_property
    def conventions(self) -> str:
        """The repository's conventions at the base commit; a part of every brief."""
        return conventions(partial(self.world.repository.read_file, self.base_commit))

    @cached_property
    def source(self) -> RunSource:
        """Source of all that the run gets from outside itself: the only place that asks if it is a rehearsal."""
        recorded = self.record.rehearsed_run
        return RecordedSource(self, original=recorded) if recorded else LiveSource(self)

    @cached_property
    def budget(self) -> Budget:
        """Budget of the run's agents as of this pass."""
        return self.source.budget()

    @property
    def agent_runtime(self) -> AgentRuntime:
        """Resources that all agents of this run share."""
        signal = partial(self.executor.wakeups.subscribe, self.id)
        return AgentRuntime(self.ledger, self.resources.threads, self.budget, self.should_yield, signal)

    def models_for(self, stage: StageName) -> tuple[str, ...]:
        """The `provider:model` that works on a stage, then those that take over."""
        return self.policy.agents.models_for(stage, self.record.options.model)

    def ends_with(self, *stages: str) -> bool:
        """True if the policy's last stage is one of these."""
        return self.policy.lifecycle.stages[-1] in stages

    def should_yield(self) -> bool:
        """True if agents must stop after this turn: a pause was requested, or a background agent waits for a person."""
        return self.ledger.commands.request(self.id) == "pause" or self.background.blocked_agent() is not None

    def raise_if_interrupted(self, *, finish_turn: bool = False) -> None:
        """Leave the pipeline if a person asked for it who may; what claims to be such a request is refused on record.

        Args:
            finish_turn: True while an attempt is under way: a pause then waits for the end of the turn.

        Raises:
            PauseRequested: A pause was asked for.
            Rewound: A person asked the run to go back to a checkpoint.
            CancelRequested: A person asked the run to end.
        """
        request = self.ledger.commands.request(self.id)
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
        self.ledger.note(self.id, EventKind.STAGE_STEP, payload=payload, synced=False)

    def prepare_worktree(self) -> None:
        """Make the worktree while a person thinks, for the agent that works in it once they have said yes.

        Only where the gate waits in this process: a run that is suspended costs nothing but its rows.
        """
        if self.origin is None and can_wait_in_process(self.executor.wakeups, self.settings):
            self.background.include(self.world.worktree.prepare())

    async def discard_unused_worktree(self) -> None:
        """Remove a prepared worktree that no agent used."""
        if not any(attempt.stage == "implementation" for attempt in self.ledger.attempts.list(self.id)):
            await self.world.worktree.discard_unused()
