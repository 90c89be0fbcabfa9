"""Branches of a run's commits: its base, its merge and the revert. Made for every door.

The ledger says which commits, and git says which branches have them now. A person may have merged or moved them since.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phasegate.flows.views.report import RunReport
from phasegate.infra.errors import RepositoryError
from phasegate.infra.ledger import Effect
from phasegate.infra.workspace import Repository


@dataclass(frozen=True)
class RunBranches:
    """Branches that have a run's commits.

    Attributes:
        base: The base branch's name.
        start: Branch of the commit that the run started from.
        merged: Branch that the change was merged into; empty if the run has no merge.
        reverted: Branch that has the revert of the merge; empty if there is none.
        base_has_merge: True if the base branch has the merge; it may have the revert, too.
    """

    base: str
    start: str
    merged: str = ""
    reverted: str = ""
    base_has_merge: bool = False


def run_branches(report: RunReport) -> RunBranches:
    """Look up the branches of a run's commits; without the repository, as the ledger has them."""
    base, effect = report.base_branch, _merge(report)
    merged, reverted = _commit(effect, undone=False), _commit(effect, undone=True)
    try:
        repository = Repository.open(Path(report.repository))
    except RepositoryError:
        return RunBranches(base, base, _branch(effect, undone=False), _branch(effect, undone=True))
    return RunBranches(
        base,
        repository.branch_with(base, report.base_commit),
        _branch(effect, undone=False),
        repository.branch_with(base, reverted) if reverted else "",
        bool(merged) and repository.has(base, merged),
    )


def _merge(report: RunReport) -> Effect | None:
    """The run's merge, if it stands or was reverted; a rewind or a moved branch may have discarded earlier ones."""
    merges = (effect for effect in reversed(report.effects) if effect.kind == "merge" and not effect.superseded)
    return next((effect for effect in merges if _commit(effect, undone=False)), None)


def _commit(effect: Effect | None, *, undone: bool) -> str:
    return _fact(effect, "commit", undone=undone)


def _branch(effect: Effect | None, *, undone: bool) -> str:
    return _fact(effect, "ref", undone=undone).removeprefix("refs/heads/")


def _fact(effect: Effect | None, name: str, *, undone: bool) -> str:
    facts = (effect.undo_result if undone else effect.result) if effect is not None else None
    return str((facts or {}).get(name, ""))
