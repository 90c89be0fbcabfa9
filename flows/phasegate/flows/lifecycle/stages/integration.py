"""Integration: the approved change goes into the base branch as the tree that was graded (P14).

If the branch has moved since the run began, the change is made once more on its head and graded there, as attempts of
their own. The approval carries over if all is as it was approved; otherwise gate `change` asks again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from phasegate.agents.prd import Prd
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import is_begun, perform
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.signals import Remade
from phasegate.flows.lifecycle.stages.testing import grade_as
from phasegate.infra.artifacts import sha256
from phasegate.infra.errors import BranchMoved, OperatorNeeded
from phasegate.infra.grading.branch_move import BranchMove
from phasegate.infra.grading.carry_over import differences
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.ledger import Attempt
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.gates import CLOSED
from phasegate.infra.workspace import ChangeSet, branch_head, merges_to, patch_id, rebase, released_change
from phasegate.infra.workspace.change_set import code
from phasegate.infra.workspace.repository import integration_branch

REBASING, REGRADING = "rebasing", "regrading"
"""Parts of stage `testing` that a move of the branch needs."""

Graded = tuple[ChangeSet, Evidence]


async def integrate(
    run: RunContext,
    approved: tuple[ChangeSet, Evidence | None],
    prd: Prd,
    sealed: asyncio.Task[SealedTests] | None,
) -> tuple[str, ChangeSet, Evidence | None]:
    """Bring an approved change into the base branch, as policy says.

    Args:
        run: The run.
        approved: The change, and its grade, which names the tree to release; no grade if policy ends before testing.
        prd: Its criteria.
        sealed: The tests that decide.

    Returns:
        The commit to release, and the change and its grade as they went in.

    Raises:
        Remade: The branch has moved, and the approval does not hold for the change on its head.
        OperatorNeeded: The change conflicts with the branch as it is now, or fails there.

    Effects:
        `merge`, undone by a revert commit. Two attempts for each move of the branch.
    """
    change, evidence = approved
    tree = _released_tree(run, evidence) if evidence else ""
    if run.policy.project.integrate == "none":
        return (await asyncio.to_thread(released_change, run.world.repository, change, tree)).commit, change, evidence
    if evidence is None or sealed is None or not tree:  # no grade tells which tree goes in
        return str((await perform(run, _intent(run, change, "")))["commit"]), change, evidence
    move = evidence.move
    moves = 0 if move is None or evidence.needs_person else move.number  # a decision of a person restarts the count
    while True:
        number = run.numbers.next("testing", REBASING)
        if run.source.recorded("testing", _head(number)) is None and (commit := await _merged(run, change, evidence)):
            return commit, change, evidence
        moves += 1
        if (moved := await _graded_on_head(run, number, moves, prd, (change, evidence), await sealed)) is None:
            continue
        _tell(run, evidence, moved)
        if commit := await _merged(run, *moved):
            return commit, *moved
        await _leave_head(run, number)


async def _merged(run: RunContext, change: ChangeSet, evidence: Evidence) -> str:
    """Merge the change as the tree that was graded.

    Returns:
        The merge commit, or an empty text if the branch has moved and nothing was merged.
    """
    tree = _released_tree(run, evidence)
    intent = _intent(run, change, tree)
    if not is_begun(run, intent):
        released = await asyncio.to_thread(released_change, run.world.repository, change, tree)
        if not await asyncio.to_thread(merges_to, run.world.repository, released, run.record.base_branch, tree):
            return ""
    try:
        return str((await perform(run, intent))["commit"])
    except BranchMoved:
        return ""


def _released_tree(run: RunContext, evidence: Evidence) -> str:
    """The graded tree that goes in: with the characterization tests, if the approver chose so."""
    kept_tree = evidence.guards.kept_tree if evidence.guards and run.keeps_tests else ""
    return kept_tree or evidence.tree


def _intent(run: RunContext, change: ChangeSet, tree: str) -> Intent:
    branch = run.record.base_branch
    facts = {"change": change.digest, "branch": branch, "message": f"{run.record.title}\n\n{change.summary}"}
    return Intent(
        "merge",
        "merge",
        facts | ({"tree": tree} if tree else {}),
        f"revert the merge on the branch that has it, {branch} or {integration_branch(branch)}",
    )


async def _graded_on_head(
    run: RunContext, number: int, moves: int, prd: Prd, approved: Graded, sealed: SealedTests
) -> Graded | None:
    """Make an approved change on the branch's head, and grade it there.

    Returns:
        The change and its grade, or None if the branch has moved again since.

    Raises:
        OperatorNeeded: It conflicts with the branch as it is now, or fails there in a way that no person may accept.
    """
    (change, evidence), branch = approved, run.record.base_branch

    async def look() -> dict[str, Any]:
        return {"head": await asyncio.to_thread(branch_head, run.world.repository, branch)}

    head = str((await run.source.observe("testing", _head(number), look))["head"])
    if run.source.recorded("testing", _left(number)) is not None:
        return None
    if not _is_graded(run, number) and head != (await look())["head"]:
        await _leave_head(run, number)
        return None

    if sealed.digest != evidence.sealed_tests:
        sealed = run.ledger.artifacts.get(evidence.sealed_tests, SealedTests)

    async def rebased(_row: Attempt) -> ChangeSet:
        run.report_step(
            "testing", f"{branch} has moved to {head[:12]}: the merged tree is graded before it is released"
        )
        await asyncio.to_thread(_require_free, run, change, head, sealed)
        make = partial(rebase, branch=branch, run_id=run.id, left_out=frozenset(evidence.left_out))
        return await asyncio.to_thread(make, run.world.repository, change, head)

    inputs = {"change": change.digest, "head": sha256(head)}
    moved = await attempt(run, "testing", number, ChangeSet, rebased, part=REBASING, inputs=inputs)

    async def compared(fresh: Evidence) -> Evidence:
        pairs = ((change.base_commit, change.commit), (moved.base_commit, moved.commit))
        before, now = [await asyncio.to_thread(patch_id, run.world.repository, *pair) for pair in pairs]
        move = BranchMove(
            branch=branch,
            base=change.base_commit,
            head=head,
            number=moves,
            approved=evidence.digest,
            patch_id=now,
            differences=differences(evidence, fresh, (before, now)),
        )
        return fresh.model_copy(update={"move": move})

    fresh = await grade_as(run, prd, moved, sealed, evidence.struck, part=REGRADING, number=number, finish=compared)
    if fresh.verdict == "failed" and not fresh.is_acceptable:
        if head != (await run.source.current(look, recorded={"head": head}))["head"]:
            await _leave_head(run, number)
            return None
        raise OperatorNeeded(
            f"the change passed on {change.base_commit[:12]} and fails on {branch} as it is now ({head[:12]}). "
            f"Nothing was merged, and no attempt was charged.\n{fresh.failing()}".rstrip(),
            remedy=f"Start a new run of the ticket: it begins from {branch} as it is now. "
            f"Or mend {branch}, then `phasegate resume {run.id}`.",
        )
    return moved, fresh


def _require_free(run: RunContext, change: ChangeSet, head: str, sealed: SealedTests) -> None:
    """Require that no sealed file would be put in the place of a file that the branch has got since.

    Raises:
        OperatorNeeded: One would.
    """
    read, branch = run.world.repository.read_file, run.record.base_branch
    for file in sealed.files:
        now = read(head, file.path)
        if now not in (None, file.content.encode(), read(change.base_commit, file.path)):
            raise OperatorNeeded(
                f"{branch} has got {code(file.path)} since the run began, which is the name of a file of sealed tests. "
                "Nothing was merged, and no attempt was charged.",
                remedy=f"Start a new run of the ticket: it begins from {branch} as it is now. "
                f"Or rename the file on {branch}, then `phasegate resume {run.id}`.",
            )


def _tell(run: RunContext, approved: Evidence, moved: Graded) -> None:
    """Record whether an approval carries over to the grade on the branch's head.

    Raises:
        Remade: It does not.

    Effects:
        One event at the approved gate; none if policy has it off.
    """
    change, fresh = moved
    move = fresh.move
    assert move is not None, fresh.digest  # noqa: S101  only grades on a head that moved come here
    gates = run.ledger.gates
    about = [gate for gate in gates.list(run.id) if gate.status not in CLOSED and gate.gate == "change"]
    row = next((gate for gate in about if gate.subject.get(Evidence.kind) == approved.digest), None)
    if row is not None:
        payload = {"approved": approved.digest, "evidence": fresh.digest, "head": move.head, "why": move.sentence()}
        payload |= {"patch_id": move.patch_id, "tree": _released_tree(run, fresh)}
        gates.note_once(row, EventKind.APPROVAL_CARRIED if move.carries_over else EventKind.APPROVAL_LAPSED, payload)
    if not move.carries_over:
        raise Remade(move.sentence(), (change, fresh))


async def _leave_head(run: RunContext, number: int) -> None:
    """Record that the branch has moved on from a head, so that the next head is tried."""

    async def look() -> dict[str, Any]:
        return {"head": await asyncio.to_thread(branch_head, run.world.repository, run.record.base_branch)}

    await run.source.observe("testing", _left(number), look)


def _is_graded(run: RunContext, number: int) -> bool:
    """True if the grade on a head is recorded, of this run or of the one it replays."""
    attempts, origin = run.ledger.attempts, run.origin
    runs = [run.id, *([origin.run] if origin else [])]
    regradings = (attempts.find(str(AttemptId.of(run_id, "testing", REGRADING, number))) for run_id in runs)
    return any(regrading is not None and regrading.status == "finished" for regrading in regradings)


def _head(number: int) -> str:
    return f"branch/{number}"


def _left(number: int) -> str:
    return f"branch-left/{number}"
