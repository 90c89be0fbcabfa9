"""Steps of a release: shares of the traffic, pauses, analyses and gates between a candidate and its cut-over.

Run by stage `deployment`. Every step is recorded, so a later pass repeats nothing. A share is an effect, an analysis an
attempt. A pause counts from its recorded start, and a gate's answer is in the ledger. docs/steps.md tells the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from phasegate.agents.deployment import ReleasePlan
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import perform
from phasegate.flows.lifecycle.gates.gates import request_decision
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.rollout.analysis import BackgroundAnalysis, ReleaseAnalysis
from phasegate.flows.lifecycle.rollout.baseline import Baseline, effects_of_release
from phasegate.flows.lifecycle.rollout.progress import BACKGROUND, ProgressReporter
from phasegate.flows.lifecycle.rollout.promotion import decided_while_measured, raise_if_breached
from phasegate.flows.lifecycle.rollout.restart import void_release
from phasegate.flows.lifecycle.signals import Breached, Rejected, SubjectStale
from phasegate.infra.artifacts import Artifact
from phasegate.infra.deploy.target import Candidate, Weight
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.policy.steps import StepPolicy

Result = TypeVar("Result")


@dataclass(frozen=True)
class CandidateBaseline:
    """Release that is current while a candidate runs; analyses and approvals of the candidate depend on it."""

    baseline: Baseline

    @property
    def kind(self) -> str:
        """As `Precondition.kind`."""
        return "target"

    @property
    def digest(self) -> str:
        """Digest of the baseline."""
        return self.baseline.digest

    async def violation(self, run: RunContext) -> str:
        """As `Precondition.violation`, until the run intends the cut-over or rolls the candidate back."""
        effects = effects_of_release(run)
        on_its_way = any(effect.kind == "cut-over" or effect.status in {"undone", "stuck"} for effect in effects)
        if on_its_way or run.source.adopts("deployment"):
            return ""
        why = self.baseline.changed(await Baseline.now(run))
        return f"{why} What was measured and approved of the candidate is void." if why else ""


async def run_steps(
    run: RunContext, plan: ReleasePlan, candidate: Candidate, serving: CandidateBaseline, number: int
) -> None:
    """Run the policy's steps that have not been run.

    Args:
        run: The run.
        plan: The approved plan.
        candidate: The release that runs next to the current one.
        serving: The current release, as it was seen.
        number: The number of the run's candidate.

    Raises:
        Breached: An analysis, or the background analysis, failed the candidate.
        Rejected: A person said no.
        Rewound: Another release is current by now, so the run goes back to before the candidate.

    Effects:
        `weight` for each share, an attempt for each analysis, gates `promotion`; the candidate still runs afterwards.
    """
    steps = _StepRun(run, plan, candidate, serving, number)
    try:
        await steps.through()
    except (Breached, Rejected):
        await steps.end()
        raise
    except SubjectStale as outdated:
        await steps.end_unbroken()  # it may be what has ended the gate
        await void_release(run, str(AttemptId.of(run.id, "deployment", "candidate", number)), outdated.why)


class _StepRun:
    def __init__(
        self, run: RunContext, plan: ReleasePlan, candidate: Candidate, serving: CandidateBaseline, number: int
    ) -> None:
        self._run, self._plan, self._candidate, self._serving, self._number = run, plan, candidate, serving, number
        self._analysis = ReleaseAnalysis(run, candidate)
        self._progress = ProgressReporter(run, "deployment", steps=len(run.policy.deploy.steps))
        self._reports: list[HealthReport] = []
        self._background: BackgroundAnalysis | None = None

    async def through(self) -> None:
        for number, step in enumerate(self._run.policy.deploy.steps, start=1):
            await self._check_preconditions()
            match step.kind:
                case "set_weight":
                    await self._shift(number, step)
                case "pause":
                    await self._pause(number, step)
                case "analysis":
                    await self._analyse(number, step)
                case "gate":
                    await self._ask(number)
        await self._check_preconditions()
        await self.end_unbroken()

    async def end_unbroken(self) -> None:
        """End the background analysis.

        Raises:
            Breached: It failed the candidate.
        """
        if (report := await self.end()) is not None:
            raise_if_breached(report, self._candidate, f"{self._when}, measured in the background")

    async def end(self) -> HealthReport | None:
        """End the background analysis, so that its report is recorded."""
        return None if self._background is None else await self._background.end()

    async def _shift(self, number: int, step: StepPolicy) -> None:
        previous, release_id = self._serving.baseline.release_id, self._candidate.release_id
        self._progress.begin(f"set_weight {step.set_weight}", step=number)
        facts = {"release_id": release_id, "commit": self._candidate.commit, "percent": step.set_weight}
        undoing = f"give the traffic of {release_id} back to {previous or 'nobody'}"
        result = await perform(self._run, Intent("weight", f"weight-{number}", facts, undoing))
        self._progress.weight = Weight.model_validate(result)
        self._progress.begin(self._progress.weight.detail if not self._progress.weight.actual else "")
        if self._background is None and self._run.policy.monitor.background:
            metrics = self._analysis.named(self._run.policy.monitor.background)
            inputs = {"candidate": self._candidate.digest}
            on_measurement = self._progress.throttled(BACKGROUND)
            self._background = self._analysis.in_background("deployment", "background", metrics, on_measurement, inputs)

    async def _pause(self, number: int, step: StepPolicy) -> None:
        run = self._run
        until = await self._begun(number) + (step.pause or timedelta())
        self._progress.begin("pause", step=number, until=until)
        if is_over(until):
            return
        reason = {"code": "pause", "message": self._progress.words, "until": until.isoformat()}
        wake_at = until if self._background is None else None  # else needed right after a crash: the analysis goes on
        ringing = run.background.start(_ring(run, until))
        while not self._is_to_go_on(until):
            run.ledger.runs.set_status(run.id, "running", reason=reason, wake_at=wake_at)
            await run.executor.wait_until(
                f"step:{number}",
                run_id=run.id,
                decided=lambda: self._is_to_go_on(until),
                settings=run.settings,
                in_process=self._background is not None,
            )
        ringing.cancel()
        run.raise_if_interrupted()
        run.ledger.runs.set_status(run.id, "running")

    async def _analyse(self, number: int, step: StepPolicy) -> None:
        metrics = self._analysis.named(step.analysis or ())
        self._progress.begin("analysis", step=number)
        on_measurement = self._progress.per_measurement(metrics)
        inputs = {"candidate": self._candidate.digest, "target": self._serving.digest}
        report = await self._guarded(self._analysis.once("deployment", "analysis", metrics, on_measurement, inputs))
        self._reports.append(report)
        raise_if_breached(report, self._candidate, self._when)
        if report.verdict != "inconclusive":
            return
        self._progress.begin("analysis inconclusive: gate promotion")
        decision = await decided_while_measured(
            self._analysis, "deployment", report, self._subject(), metrics, self._progress, self._checks()
        )
        if decision is not None and decision.verdict != "approve":
            raise Breached(report, self._candidate, self._when)

    async def _ask(self, number: int) -> None:
        self._progress.begin("gate promotion", step=number)
        round_ = self._run.numbers.next("gate", "promotion")
        decision = await request_decision(self._run, "promotion", round_, self._subject(), checks=self._checks())
        if decision is not None and decision.verdict != "approve":
            raise Rejected("promotion", decision)

    def _subject(self) -> list[Artifact | CandidateBaseline]:
        return [self._plan, self._candidate, *self._reports, self._serving]

    def _checks(self) -> list[BackgroundAnalysis]:
        return [self._background] if self._background is not None else []

    @property
    def _when(self) -> str:
        weight = self._progress.weight
        share = f", with {weight.actual:g} % of the traffic" if weight is not None else ""
        return f"at step {self._progress.step} of {self._progress.steps}{share}"

    async def _check_preconditions(self) -> None:
        """Stop the steps on a breach, or if another release is current by now."""
        self._heed_background()
        if why := await self._serving.violation(self._run):
            raise SubjectStale(why)

    def _heed_background(self) -> None:
        if self._background is not None and (report := self._background.breach()) is not None:
            raise Breached(report, self._candidate, f"{self._when}, measured in the background")

    async def _guarded(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do a step's work, but cancel it as soon as the background analysis fails the candidate."""
        task = asyncio.ensure_future(work)
        try:
            if self._background is not None:
                await asyncio.wait({task, self._background.task}, return_when=asyncio.FIRST_COMPLETED)
                self._heed_background()
            return await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _begun(self, number: int) -> datetime:
        """The time at which a step first began; a restart, or a replay that adopts it, keeps it."""

        async def now() -> str:
            return datetime.now(UTC).isoformat()

        return datetime.fromisoformat(
            await self._run.source.observe("deployment", f"step/{self._number}/{number}", now)
        )

    def _is_to_go_on(self, until: datetime) -> bool:
        stopped = self._background is not None and self._background.finished
        return is_over(until) or stopped or bool(self._run.ledger.runs.get(self._run.id).request)


def is_over(until: datetime) -> bool:
    """True if a moment has passed."""
    return datetime.now(UTC) >= until


async def _ring(run: RunContext, at: datetime) -> None:
    """Wake the run at a moment."""
    await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
    run.executor.wakeups.notify(run.id)
