"""Cleaning: removes folders of runs that have ended, and refs and layers that policy no longer retains.

Called by the lifecycle at a run's end, by the engine's cleaning service and by `phasegate clean`. A run that continues,
or that may be resumed, loses nothing: its files are in its checkpoints, and its folder is made again from these. This
module must not know Prefect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.errors import PhasegateError
from phasegate.infra.grading.runner.layer_retention import LayerLimits, drop_layers, size_of
from phasegate.infra.ledger import ENDED, Ledger, Run
from phasegate.infra.policy.retention import RetentionPolicy
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings
from phasegate.infra.system.trees import remove_tree
from phasegate.infra.workspace import Repository, Workspace

CLEARED = ENDED | {"failed"}
"""Statuses of runs whose folders go; a failed one that is resumed gets them again from its checkpoints."""
_WORK = "work"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removed:
    """Thing that was removed, or would be."""

    kind: str
    """`folder`, `refs` or `layer`."""
    name: str
    """The run, or the layer's folder."""
    bytes: int = 0

    def document(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


def anyone(_run: Run) -> bool:
    """True: the engine cleans every run."""
    return True


def remove_folders(
    settings: Settings,
    run: Run,
    secrets: Secrets,
    *,
    dry_run: bool = False,
    may_clean: Callable[[Run], bool] = anyone,
) -> Iterator[Removed]:
    """Remove the worktree, checkouts and scratch files of a run.

    Args:
        settings: The machine's settings.
        run: A run that no engine owns.
        secrets: Secrets that no ref may keep.
        dry_run: True to remove nothing.
        may_clean: As in `clean`.

    Effects: files that no checkpoint has yet are kept in a ref first. A repeat finds nothing to do.
    """
    folders = [folder for folder in (settings.workspaces / run.id, settings.scratch / run.id) if folder.is_dir()]
    if not folders or not may_clean(run):
        return
    size = sum(map(size_of, folders))
    if not dry_run and not _remove_worktree(settings, run, secrets):
        return
    for folder in [] if dry_run else folders:
        remove_tree(folder, ignore_errors=True)
    yield Removed("folder", run.id, size)


def _remove_worktree(settings: Settings, run: Run, secrets: Secrets) -> bool:
    """Remove a run's worktree in git's way. Returns whether its folder may go."""
    folder = settings.workspaces / run.id / _WORK
    if not folder.is_dir():
        return True
    if not Path(run.repository).is_dir():
        return True  # and with it all that the worktree could be of use for
    try:
        repository = Repository.open(Path(run.repository))
        Workspace.create(repository, run.id, run.base_commit, folder, secrets).remove()
    except PhasegateError as error:
        _log.warning("The folder of %s stays: %s", run.id, error.message)
        return False
    return True


def clean(
    settings: Settings,
    ledger: Ledger,
    secrets: Secrets,
    *,
    dry_run: bool = False,
    may_clean: Callable[[Run], bool] = anyone,
) -> Iterator[Removed]:
    """Remove all that runs left behind and policy no longer retains.

    Args:
        settings: The machine's settings.
        ledger: The ledger with the runs.
        secrets: Secrets that no ref may keep.
        dry_run: True to remove nothing.
        may_clean: True if what a run left behind may be removed; asked only if there is something.

    Effects: as `remove_folders`; refs of runs that ended long ago are gone, and layers unused for long.
    """
    runs = ledger.runs.list()
    for run in runs:
        if run.status in CLEARED and not _is_held(ledger, run):
            yield from remove_folders(settings, run, secrets, dry_run=dry_run, may_clean=may_clean)
    for run in runs:
        yield from _drop_refs(ledger, run, runs, dry_run=dry_run, may_clean=may_clean)
    rules = {_git_dir(run): _retention(ledger, run) for run in sorted(runs, key=lambda run: run.created_at)}

    def limits(repository: str) -> LayerLimits:
        rule = rules.get(repository, RetentionPolicy())
        return LayerLimits(rule.layers, rule.layer_bytes)

    for folder, size in drop_layers(settings.layers, limits, ledger.now(), dry_run=dry_run):
        yield Removed("layer", folder.name, size)


def _is_held(ledger: Ledger, run: Run) -> bool:
    """True if an engine owns a run, or is about to."""
    lease = ledger.leases.find(run.id)
    return bool(run.request) or (lease is not None and lease.expires_at > ledger.now())


def _drop_refs(
    ledger: Ledger, run: Run, runs: Collection[Run], *, dry_run: bool, may_clean: Callable[[Run], bool]
) -> Iterator[Removed]:
    """Remove the refs of a run that ended long ago, unless a replay of it continues."""
    needed = any(other.origin and other.origin.run == run.id and other.status not in ENDED for other in runs)
    if run.status not in ENDED or run.request or needed:
        return
    age: timedelta = ledger.now() - ledger.newest(run.id).at
    if age <= _retention(ledger, run).refs or not Path(run.repository).is_dir():
        return
    try:
        refs = _refs(run)
    except PhasegateError as error:
        _log.warning("The refs of %s stay: %s", run.id, error.message)
        return
    if not refs or not may_clean(run):
        return
    try:
        if not dry_run:
            _delete(run, refs)
    except PhasegateError as error:
        _log.warning("The refs of %s stay: %s", run.id, error.message)
        return
    yield Removed("refs", run.id)


def _refs(run: Run) -> list[str]:
    """Names of a run's refs and of its branch."""
    # the trailing slash keeps out runs whose id begins alike
    command = ("for-each-ref", "--format=%(refname)", f"refs/phasegate/{run.id}/", f"refs/heads/phasegate/{run.id}")
    return Repository.open(Path(run.repository)).git.lines(*command)


def _delete(run: Run, refs: list[str]) -> None:
    commands = "".join(f"delete {ref}\n" for ref in refs).encode()
    Repository.open(Path(run.repository)).git.output("update-ref", "--stdin", stdin=commands)


def _retention(ledger: Ledger, run: Run) -> RetentionPolicy:
    return ledger.artifacts.get(run.policy, StoredPolicy).policy.retention


def _git_dir(run: Run) -> str:
    """The git directory by which a repository's layers are known, or an empty text if it is gone."""
    try:
        return str(Repository.open(Path(run.repository)).git.git_dir)
    except PhasegateError:
        return ""
