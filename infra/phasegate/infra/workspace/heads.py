"""The heads of a run's chain of events, kept in git: what the ledger was seen to hold, out of the ledger's reach.

Called by `flows.runs.audit_bundle`. A chain of empty commits under `refs/phasegate/<run>/head`, each naming a position
and a hash; it only grows. It must not know what the chain is of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phasegate.infra.errors import TrailBroken

if TYPE_CHECKING:
    from phasegate.infra.workspace.repository import Repository

_LINE = re.compile(r"(?P<position>[1-9][0-9]*) (?P<hash>sha256:[0-9a-f]{64})")


def head_ref(run_id: str) -> str:
    """The ref that keeps a run's heads."""
    return f"refs/phasegate/{run_id}/head"


def publish_head(repository: Repository, run_id: str, position: int, event_hash: str) -> None:
    """Add a head to those that were seen.

    Effects: one commit and one moved ref; nothing when the newest one says the same.

    Raises:
        RepositoryError: git refused, or another process moved the ref meanwhile.
    """
    git, line = repository.git, f"{position} {event_hash}"
    newest = git.attempt("log", "-1", "--format=%H %B", head_ref(run_id), "--")
    head, _, message = newest.stdout.decode(errors="replace").strip().partition(" ")
    if head and message == line:
        return
    parents = [head] if head else []
    commit = git.write_commit(git.line("mktree"), parents, f"{line}\n")
    git.output("update-ref", "-m", "phasegate: head", head_ref(run_id), commit, head or "0" * len(commit))


def published_heads(repository: Repository, run_id: str) -> list[tuple[int, str]]:
    """Every head that was ever seen, oldest first, as position and hash.

    Raises:
        RepositoryError: git cannot read them.
        TrailBroken: The ref holds something else.
    """
    git = repository.git
    if git.resolve(head_ref(run_id)) is None:
        return []
    heads: list[tuple[int, str]] = []
    for message in git.records("log", "--reverse", "-z", "--format=%B", head_ref(run_id), "--"):
        match = _LINE.fullmatch(message.strip())
        if match is None:
            raise TrailBroken(f"{head_ref(run_id)} in {repository.top} holds something that is no head")
        heads.append((int(match["position"]), match["hash"]))
    return heads
