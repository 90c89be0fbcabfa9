"""Characterization tests, a part of stage `testing`: written where base's own tests are thin, tried before sealing.

Called by `author_tests` once the acceptance tests are written, and by grading for the gate page. Two findings are
observed once and recorded, so that later passes agree: whether tests are thin, and the problems of each draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from phasegate.agents import testing
from phasegate.agents.prd import Prd
from phasegate.agents.testing import CharacterizationDraft
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.stages.run_agent import propose
from phasegate.flows.lifecycle.stages.scratch_bench import scratch_bench
from phasegate.flows.runs.inputs import StoredScript
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.grading.characterization import Characterization
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.guard_summary import GuardSummary
from phasegate.infra.grading.guards.draft_check import draft_problems
from phasegate.infra.grading.guards.thin_tests import ThinTests, find_thin_tests
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.system.threads import in_own_loop

PART = "characterization"
_THIN, _OMITTED, _TRIED = "thin-tests", "characterization-omitted", "characterization/"
_MOST_DRAFTS = 3
"""Drafts after which what holds of the last one is sealed, rather than sent back once more."""
_NO_TURNS = f"the rehearsal script has no turns for `testing.{PART}`."
_NO_TESTS = "No test of the project passes on base."


def has_author(run: RunContext) -> bool:
    """True if such tests can be written: by a model, or by a script with turns for it."""
    if run.policy.grading.characterize == "never":
        return False
    if not run.record.options.rehearsal:
        return True
    script = run.ledger.artifacts.get(run.record.options.rehearsal, StoredScript).script
    return bool(script.turns(f"testing.{PART}", 1))


async def look_for_thin_tests(run: RunContext, prd: Prd) -> ThinTests | None:
    """Measure once whether base's own tests are thin where the PRD is about; call it before tests are written.

    Returns:
        The reason, or None if they suffice, if no author may write more, or if the run began without this step.

    Effects:
        One observation, which a replay of later stages and a rehearsal take over.
    """
    if not has_author(run):
        return None
    if not run.source.has_observed(_THIN):
        has_begun = any(attempt.stage == "testing" for attempt in run.ledger.attempts.list(run.id))
        if has_begun or run.source.adopts("testing"):
            return None

    async def look() -> dict[str, Any]:
        run.report_step("testing", "looking for code that the project's own tests leave alone")
        async with scratch_bench(run, "thin-tests") as bench:
            text = f"{prd.markdown()}\n{run.ticket.body}"
            thin = await in_own_loop(partial(find_thin_tests, bench, run.base_commit, text))
        return {"reason": thin.reason, "places": list(thin.places)} if thin else {"reason": ""}

    observation = await run.source.observe("testing", _THIN, look)
    return ThinTests(observation["reason"], tuple(observation["places"])) if observation["reason"] else None


async def characterize(run: RunContext, prd: Prd, sealed: SealedTests, thin: ThinTests | None) -> SealedTests:
    """Ask for characterization tests where base's own tests are thin, and seal them with the others.

    Args:
        run: The run.
        prd: Its criteria, which must not be pinned.
        sealed: The acceptance tests.
        thin: The reason; with None, nothing is written.

    Returns:
        The sealed tests, with those that hold on base.

    Effects:
        One attempt, and one observation for each draft: each is tried on base several times.
    """
    if thin is None:
        return sealed

    def accept(draft: CharacterizationDraft) -> SealedTests:
        problems: dict[str, list[str]] = run.source.recorded("testing", _tried(draft)) or dict[str, list[str]]()
        files = () if "" in problems else tuple(file for file in draft.files if file.path not in problems)
        why = draft.omitted or "the author handed in none that holds on base and notices a fault there."
        characterization = Characterization(reason=thin.reason, files=files, omitted="" if files else why)
        return sealed.model_copy(update={"characterization": characterization})

    return await propose(
        run,
        testing.CHARACTERIZATION_AGENT,
        run.numbers.next("testing", PART),
        SealedTests,
        accept,
        brief=testing.characterization_brief(
            prd,
            reason=thin.reason,
            places=thin.places,
            test_command=run.policy.project.test,
            conventions=run.conventions,
        ),
        folder=await run.world.checkout(run.base_commit),
        inputs={"prd": prd.digest, "sealed": sealed.digest},
        part=PART,
        validate_draft=partial(_validate_draft, run, prd, sealed),
    )


async def with_omission(run: RunContext, evidence: Evidence) -> Evidence:
    """Say in the evidence that nothing guards the change, since a script answers that has no turns for such tests."""
    wanted = run.policy.grading.characterize == "thin" and evidence.verdict == "unguarded" and evidence.guards is None
    if not wanted or has_author(run) or not run.source.can_observe(_OMITTED):
        return evidence

    async def look() -> dict[str, Any]:
        return {"why": _NO_TURNS}

    observation = await run.source.observe("testing", _OMITTED, look)
    return evidence.model_copy(update={"guards": GuardSummary(reason=_NO_TESTS, omitted=str(observation["why"]))})


async def _validate_draft(run: RunContext, prd: Prd, sealed: SealedTests, draft: CharacterizationDraft) -> str:
    """Reasons to send a draft back, recorded once per draft, or an empty text if it is accepted."""
    if not draft.files:
        return "" if draft.omitted else "hand in test files, or say in `omitted` why nothing can be pinned"

    async def look() -> dict[str, Any]:
        async with scratch_bench(run, PART) as bench:
            trying = partial(
                draft_problems,
                bench,
                run.base_commit,
                draft.files,
                criteria=[criterion.id for criterion in prd.acceptance_criteria],
                sealed=[file.path for file in sealed.files],
            )
            return await in_own_loop(trying)

    problems: Mapping[str, list[str]] = await run.source.observe("testing", _tried(draft), look)
    if not problems or _position(run, _tried(draft)) >= _MOST_DRAFTS:
        return ""
    return "\n".join(f"{path}: {problem}".removeprefix(": ") for path, own in problems.items() for problem in own)


def _position(run: RunContext, name: str) -> int:
    """The number of a draft among the tried ones, from 1; a rehearsal counts as its original did."""
    tried = [other for other in run.source.observed_names() if other.startswith(_TRIED)]
    return [*dict.fromkeys(tried), name].index(name) + 1


def _tried(draft: CharacterizationDraft) -> str:
    return f"{_TRIED}{sha256(canonical_json(draft.model_dump(mode='json'))).removeprefix('sha256:')[:16]}"
