"""Stage `implementation`: an agent changes the code, again for as long as its grade fails; then code integrates it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from phasegate.agents import implementation
from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.prd import Prd
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates import Round
from phasegate.flows.lifecycle.saga import Intent, perform
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.flows.lifecycle.stages.testing import grade_change
from phasegate.infra.errors import OperatorNeeded
from phasegate.infra.grading import Evidence, SealedTests
from phasegate.infra.workspace import ChangeSet, Workspace

_TURNS_PER_ATTEMPT = 100_000
"""More turns than any attempt has: keeps the checkpoints of one attempt before those of the next."""


@dataclass(frozen=True)
class _Bench:
    """The run's worktree as an agent's place: what a turn made is kept, and can be put back."""

    workspace: Workspace
    attempt_number: int

    def save(self, turn: int) -> str:
        return self.workspace.checkpoint("implementation", self.attempt_number * _TURNS_PER_ATTEMPT + turn)

    def restore(self, commit: str) -> None:
        self.workspace.restore(commit)


async def change_that_passes(
    run: RunContext, round_: Round, prd: Prd, sealed: asyncio.Task[SealedTests] | None
) -> tuple[ChangeSet, Evidence | None]:
    """Implement, grade, and implement again with what failed, until a change passes.

    Args:
        run: The run.
        round_: The note of a person who sent the last change back, if one did.
        prd: What must become true.
        sealed: The tests that decide, once they are written; None where policy ends before testing.

    Raises:
        OperatorNeeded: As many attempts failed as policy allows.

    Effects:
        One attempt and one grade per try.
    """
    feedback, tries = "", run.policy.lifecycle.max_attempts + run.run.grants
    for _ in range(tries):
        number = run.next_number("implementation")
        change = await _implement(run, number, prd, feedback, round_.note)
        if sealed is None:
            return change, None
        evidence = await grade_change(run, number, prd, change, await sealed)
        if evidence.verdict == "passed":
            return change, evidence
        feedback = evidence.failing()
    raise OperatorNeeded(
        f"{tries} attempts at the implementation failed their grading",
        remedy=f"See why with `phasegate show {run.run.id}`; `phasegate resume {run.run.id}` grants one more attempt.",
    )


async def integrate(run: RunContext, change: ChangeSet) -> str:
    """Bring an approved change into the base branch, as policy says; the commit that is to be released.

    Effects:
        `merge`, undone by a revert commit.
    """
    if run.policy.project.integrate == "none":
        return change.commit
    made = await perform(
        run,
        Intent(
            "merge",
            "merge",
            {"change": change.digest, "branch": run.run.base_branch, "message": f"{run.run.title}\n\n{change.summary}"},
            f"revert the merge on {run.run.base_branch}",
        ),
    )
    return str(made["commit"])


async def _implement(run: RunContext, number: int, prd: Prd, feedback: str, note: str) -> ChangeSet:
    workspace, protected = await run.workspace(), run.policy.protect.paths
    brief = implementation.brief(
        prd, test_command=run.policy.project.test, protected=protected, feedback=feedback, note=note
    )

    def collect(draft: ChangeDraft) -> ChangeSet:
        summary = f"{draft.summary}\n\n{draft.notes}".strip()
        return workspace.collect(run.run.base_commit, protected, f"{run.run.title}\n\n{summary}")

    return await propose(
        run,
        implementation.AGENT,
        number,
        ChangeSet,
        collect,
        brief=brief,
        folder=workspace.folder,
        inputs={"prd": prd.digest},
        place=lambda row: _Bench(workspace, row.number),
        protected=protected,
    )
