"""Stage `implementation`: an agent changes the code, again for as long as its grade fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from phasegate.agents import implementation
from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.prd import Prd
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates.gates import Round
from phasegate.flows.lifecycle.stages.run_agent import propose
from phasegate.flows.lifecycle.stages.testing import amend_tests, grade_change
from phasegate.flows.runs.checkpoints import checkpoint_number
from phasegate.infra.artifacts import sha256
from phasegate.infra.errors import OperatorNeeded
from phasegate.infra.grading.amendments import request_problems
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.workspace import ChangeSet, Workspace


@dataclass(frozen=True)
class WorktreeCheckpoints:
    """Checkpoints of the run's worktree, one per turn of an agent; each can be restored."""

    workspace: Workspace
    attempt_number: int
    begins_at: str

    def save(self, turn: int) -> str:
        """As `CheckpointStore.save`."""
        if turn == 0 and self.begins_at:
            return self.begins_at
        return self.workspace.checkpoint("implementation", checkpoint_number(self.attempt_number, turn))

    def restore(self, commit: str) -> None:
        """As `CheckpointStore.restore`."""
        self.workspace.restore(commit)


async def change_that_passes(
    run: RunContext, round_: Round, prd: Prd, sealed: asyncio.Task[SealedTests] | None
) -> tuple[ChangeSet, Evidence | None]:
    """Implement, grade, and implement again with the failures, until a change passes.

    Args:
        run: The run.
        round_: The note of a person who sent the last change back, if one did.
        prd: The requirements.
        sealed: The tests that decide, once they are written; None if policy ends before testing.

    Returns:
        A change whose grade did not fail, or the last one if a person can accept by name all that failed it.

    Raises:
        OperatorNeeded: As many attempts failed as policy allows, and a person cannot accept the last failure.

    Effects:
        One attempt and one grade per try; one sealing more where a change asks for amendments.
    """
    if round_.regrade and sealed is not None:
        change = round_.previous[0]
        return change, await grade_change(run, prd, change, await _sealed_by_now(run, round_, sealed), round_.struck)
    feedback, tries = "", run.policy.lifecycle.max_attempts + run.source.extra_attempts
    await _go_on_from_last_change(run, prd)
    last: tuple[ChangeSet, Evidence] | None = None
    tests: SealedTests | None = None
    for _ in range(tries):
        number = run.numbers.next("implementation")
        change = await _implement(run, number, prd, feedback, round_.note)
        if sealed is None:
            return change, None
        tests = await amend_tests(run, prd, change, tests or await _sealed_by_now(run, round_, sealed))
        evidence = await grade_change(run, prd, change, tests, round_.struck)
        if evidence.verdict != "failed" or _was_asked_about(run, round_, evidence):
            return change, evidence
        feedback, last = evidence.failing(), (change, evidence)
    if last is not None and last[1].is_acceptable:
        return last  # a person decides if the ticket may do that
    raise OperatorNeeded(
        f"{tries} attempts at the implementation failed their grading",
        remedy=f"See why with `phasegate show {run.id}`; `phasegate resume {run.id}` grants one more attempt.",
    )


def _was_asked_about(run: RunContext, round_: Round, evidence: Evidence) -> bool:
    """True if the gate opened in this round on a failed grade: a person decides, whatever was granted since."""
    opened = (row for row in run.ledger.gates.list(run.id) if row.gate == "change")
    return any(row.number == round_.number and row.subject.get(Evidence.kind) == evidence.digest for row in opened)


async def _sealed_by_now(run: RunContext, round_: Round, sealed: asyncio.Task[SealedTests]) -> SealedTests:
    """The sealed tests of the last grade: amendments that a change asked for hold for the next change, too."""
    tests = await sealed
    evidence: Evidence | None = round_.previous[1] if round_.previous else None
    if evidence is None or evidence.sealed_tests == tests.digest:
        return tests
    return run.ledger.artifacts.get(evidence.sealed_tests, SealedTests)


async def _go_on_from_last_change(run: RunContext, prd: Prd) -> None:
    """Continue the numbering from the earlier run's last change, if a replay starts at stage `testing`."""
    origin = run.origin
    if origin is None or origin.stage != "testing":
        return
    if (last := run.source.last_attempt("implementation", {"prd": prd.digest})) is not None:
        run.numbers.resume_at("implementation", last)
        run.numbers.resume_at("testing", last, part="grading")


async def _taken_over(run: RunContext, number: int, inputs: Mapping[str, str]) -> ChangeSet | None:
    """An adopted change; the run's own worktree and branch begin from it."""
    original = run.source.adoptable(ChangeSet, "implementation", "", number, inputs)
    attempts = run.ledger.attempts
    is_new = attempts.find(str(AttemptId.of(run.id, "implementation", "", number))) is None
    if original is not None and is_new:
        change = run.ledger.artifacts.get(original.artifact or "", ChangeSet)
        workspace = await run.world.worktree.open()
        await asyncio.to_thread(workspace.begin_from, change.commit)
    return run.source.adopt(ChangeSet, "implementation", "", number, inputs)


async def _implement(run: RunContext, number: int, prd: Prd, feedback: str, note: str) -> ChangeSet:
    protected = run.policy.protect.paths
    brief = implementation.brief(
        prd,
        test_command=run.policy.project.test,
        protected=protected,
        feedback=feedback,
        note=note,
        conventions=run.conventions,
    )

    inputs = {"prd": prd.digest}
    again_from_testing = run.origin is not None and run.origin.stage == "testing"
    exactly = inputs if again_from_testing and not feedback else {**inputs, "brief": sha256(brief)}
    if (adopted := await _taken_over(run, number, exactly)) is not None:
        return adopted
    workspace = await run.world.worktree.set_up()
    begins_at = run.world.worktree.take_clean_commit()

    def collect(draft: ChangeDraft) -> ChangeSet:
        summary = f"{draft.summary}\n\n{draft.notes}".strip()
        message = f"{run.record.title}\n\n{summary}"
        change = workspace.collect(run.base_commit, protected, message, run.policy.authority_files)
        return change.model_copy(update={"asks_to_amend": draft.asks_to_amend})

    return await propose(
        run,
        implementation.AGENT,
        number,
        ChangeSet,
        collect,
        brief=brief,
        folder=workspace.folder,
        inputs=inputs,
        place=lambda row: WorktreeCheckpoints(workspace, row.number, begins_at),
        protected=protected,
        validate_draft=run.source.draft_check(partial(_validate_draft, run, prd)),
    )


def _validate_draft(run: RunContext, prd: Prd, draft: ChangeDraft) -> str:
    """Reasons to send a change's requests back, or an empty text."""
    criteria = [criterion.id for criterion in prd.acceptance_criteria]
    read = partial(run.world.repository.read_file, run.base_commit)
    return "\n".join(request_problems(draft.asks_to_amend, criteria, read))
