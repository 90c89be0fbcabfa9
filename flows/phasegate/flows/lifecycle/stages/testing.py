"""Stage `testing`: the tests are written by one who never sees the change, and the change is graded by code."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial

from phasegate.agents import testing
from phasegate.agents.prd import Prd
from phasegate.agents.testing import TestsDraft
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.infra.grading import Evidence, SealedTests, grade
from phasegate.infra.ledger import Attempt
from phasegate.infra.workspace import ChangeSet, keep_released


async def author_tests(run: RunContext, prd: Prd) -> SealedTests:
    """Have the acceptance tests written from the PRD and the base commit, and seal them.

    Effects:
        One attempt; the tests are stored in the ledger, outside of every workspace.
    """
    return await propose(
        run,
        testing.AGENT,
        run.next_number("testing", "authoring"),
        SealedTests,
        _seal,
        brief=testing.brief(prd, test_command=run.policy.project.test, conventions=run.conventions),
        folder=await run.checkout(run.run.base_commit),
        inputs={"prd": prd.digest},
        part="authoring",
    )


async def grade_change(run: RunContext, prd: Prd, change: ChangeSet, sealed: SealedTests) -> Evidence:
    """Grade a change on clean checkouts; no agent has a part in it.

    Effects:
        One attempt per change, and a ref that keeps what is released of it.
    """
    number = run.next_number("testing", "grading")

    async def graded(_row: Attempt) -> Evidence:
        scratch = run.shared.settings.scratch / run.run.id / f"grading-{number}"
        try:
            evidence = await grade(
                repository=run.repository,
                change=change,
                sealed=sealed,
                criteria=prd.acceptance_criteria,
                policy=run.policy,
                sandbox=run.sandbox,
                scratch=scratch,
                on_step=partial(run.step, "testing"),
            )
            await asyncio.to_thread(keep_released, run.repository, change, evidence.tree, run.run.id)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        return evidence

    return await attempt(
        run,
        "testing",
        number,
        Evidence,
        graded,
        part="grading",
        inputs={"change": change.digest, "sealed": sealed.digest, "policy": run.run.policy},
    )


def _seal(draft: TestsDraft) -> SealedTests:
    return SealedTests(files=draft.files)
