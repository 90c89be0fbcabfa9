"""Stage `testing`: an agent that never sees the change writes the tests, and code grades the change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from phasegate.agents import testing
from phasegate.agents.prd import Prd
from phasegate.agents.testing import AmendmentsDraft, TestsDraft
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.stages.base import base_summary
from phasegate.flows.lifecycle.stages.characterization import characterize, look_for_thin_tests, with_omission
from phasegate.flows.lifecycle.stages.run_agent import propose
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.grading.amendments import added_problems, amendment_problems
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.heldout import unknown_names
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.ledger import Attempt
from phasegate.infra.system.threads import in_own_loop
from phasegate.infra.system.trees import remove_tree
from phasegate.infra.workspace import ChangeSet, keep_released
from phasegate.infra.workspace.change_set import AmendmentRequest


async def author_tests(run: RunContext, prd: Prd) -> SealedTests:
    """Run the agent that writes the acceptance tests from the PRD and the base commit, and seal the tests.

    Where base's own tests are thin, characterization tests are sealed with them.

    Effects:
        One attempt, and one more where base's tests are thin; the tests are stored in the ledger, outside of every
        workspace. No acceptance test if the PRD asks for no new behaviour: then the project's own tests decide.
    """
    thin = await look_for_thin_tests(run, prd)
    sealed = await _author(run, prd) if prd.new_behaviour else SealedTests(files=())
    return await characterize(run, prd, sealed, thin)


async def _author(run: RunContext, prd: Prd) -> SealedTests:
    return await propose(
        run,
        testing.AGENT,
        run.numbers.next("testing", "authoring"),
        SealedTests,
        _seal,
        brief=testing.brief(prd, test_command=run.policy.project.test, conventions=run.conventions),
        folder=await run.world.checkout(run.base_commit),
        inputs={"prd": prd.digest},
        part="authoring",
        validate_draft=run.source.draft_check(partial(_validate_draft, run, prd)),
    )


async def amend_tests(run: RunContext, prd: Prd, change: ChangeSet, sealed: SealedTests) -> SealedTests:
    """Ask the authoring agent to decide on the amendments that a change requests, and seal its decision.

    Args:
        run: The run.
        prd: The requirements that the agent decides by.
        change: The change with the requests. Only the ids reach the agent.
        sealed: The tests so far. None of them changes.

    Returns:
        The tests with the added amendments; the same tests if the change has no open request.

    Effects:
        One attempt where something is open. A replay with the same requests finds it.
    """
    requests = sealed.open_requests(change.asks_to_amend)
    if not requests:
        return sealed
    return await propose(
        run,
        testing.AMENDING_AGENT,
        run.numbers.next("testing", "amending"),
        SealedTests,
        lambda draft: sealed.with_added(requests, draft.amends),
        brief=testing.amending_brief(
            prd, sealed, requests, test_command=run.policy.project.test, conventions=run.conventions
        ),
        folder=await run.world.checkout(run.base_commit),
        inputs={"prd": prd.digest, "sealed": sealed.digest},
        part="amending",
        validate_draft=run.source.draft_check(partial(_validate_amendments, run, prd, sealed, requests)),
    )


async def grade_change(
    run: RunContext, prd: Prd, change: ChangeSet, sealed: SealedTests, struck: Sequence[str] = ()
) -> Evidence:
    """Grade a change on clean checkouts; no agent has a part in it.

    Args:
        run: The run.
        prd: Its criteria.
        change: What is graded.
        sealed: The tests that decide.
        struck: Amendments that a person struck.

    Effects:
        One attempt per change, and a ref that keeps what is released of it.
    """
    return await grade_as(
        run, prd, change, sealed, struck, part="grading", number=run.numbers.next("testing", "grading")
    )


async def grade_as(
    run: RunContext,
    prd: Prd,
    change: ChangeSet,
    sealed: SealedTests,
    struck: Sequence[str],
    *,
    part: str,
    number: int,
    finish: Callable[[Evidence], Awaitable[Evidence]] | None = None,
) -> Evidence:
    """Grade a change as a numbered attempt of a part of the stage.

    Args:
        run: The run.
        prd: Its criteria.
        change: What is graded.
        sealed: The tests that decide.
        struck: Amendments that a person struck.
        part: The part.
        number: The attempt's number.
        finish: Adds to the evidence before it is stored.

    Effects:
        One attempt, and a ref that keeps what is released of the change.
    """

    async def graded(_row: Attempt) -> Evidence:
        scratch = run.settings.scratch / run.id / f"{part}-{number}"
        try:
            grading = partial(
                grade,
                repository=run.world.repository,
                change=change,
                sealed=sealed,
                criteria=prd.acceptance_criteria,
                policy=run.policy,
                sandbox=run.world.sandbox,
                scratch=scratch,
                on_step=partial(run.report_step, "testing"),
                nothing_new=not prd.new_behaviour,
                struck=struck,
                bases=run.settings.bases,
            )
            evidence = await in_own_loop(grading)
            kept_tree = evidence.guards.kept_tree if evidence.guards else ""
            for tree in filter(None, (evidence.tree, kept_tree)):
                await asyncio.to_thread(keep_released, run.world.repository, change, tree, run.id)
        finally:
            await asyncio.to_thread(remove_tree, scratch, ignore_errors=True)
        if change.base_commit == run.base_commit:
            evidence = evidence.model_copy(update={"base": await base_summary(run)})
        evidence = await with_omission(run, evidence)
        return await finish(evidence) if finish else evidence

    inputs = {"change": change.digest, "sealed": sealed.digest, "policy": run.record.policy}
    inputs |= {"struck": sha256(canonical_json(sorted(struck)))} if struck else {}
    return await attempt(
        run,
        "testing",
        number,
        Evidence,
        graded,
        part=part,
        inputs=inputs,
    )


def _seal(draft: TestsDraft) -> SealedTests:
    amends = tuple(amendment.model_copy(update={"added_after_change": False}) for amendment in draft.amends)
    return SealedTests(files=draft.files, amends=amends)


def _validate_draft(run: RunContext, prd: Prd, draft: TestsDraft) -> str:
    """Reasons to send sealed tests back, or an empty text."""
    criteria = [criterion.id for criterion in prd.acceptance_criteria]
    problems = [
        f"No file names criterion {criterion}: each needs a test."
        for criterion in criteria
        if not any(criterion in file.criteria for file in draft.files)
    ]
    sealed = [(file.path, file.content) for file in draft.files]
    read = partial(run.world.repository.read_file, run.base_commit)
    problems += unknown_names((file.path, file.content) for file in draft.files)
    return "\n".join([*problems, *amendment_problems(draft.amends, criteria, sealed, read)])


def _validate_amendments(
    run: RunContext, prd: Prd, sealed: SealedTests, requests: Sequence[AmendmentRequest], draft: AmendmentsDraft
) -> str:
    """Reasons to send added amendments back, or an empty text."""
    criteria = [criterion.id for criterion in prd.acceptance_criteria]
    files = [(file.path, file.content) for file in sealed.files]
    read = partial(run.world.repository.read_file, run.base_commit)
    return "\n".join(added_problems(draft.amends, requests, sealed.amends, criteria, files, read))
