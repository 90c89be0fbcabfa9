"""Layers: files that the setup command leaves in a checkout, kept and laid under further checkouts.

A layer also holds caches of compilers that setup and the tests filled on a base commit (`build_caches`).

Called by `runner`. A layer made on the base commit is shared by all grades, and no command ever writes to it: each
checkout gets a copy. A change that alters what its setup reads has layers of its own, which go with its grade. It must
not know what a checkout is tested for.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

from pydantic import ValidationError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import RepositoryError
from phasegate.infra.file_lock import locked
from phasegate.infra.grading.runner.build_caches import (
    aged_for_cargo,
    home_folders,
    is_compiled,
    is_outgrown,
    keep_home,
    keep_workspace,
    still_valid,
)
from phasegate.infra.grading.runner.layer_entries import (
    ABOUT,
    COMPILED,
    FILES,
    HOME,
    OUTGROWN,
    STORED,
    USED,
    Found,
    Laid,
    Layer,
    copy_into,
    finish,
    hold,
    kept_home,
    new_name,
)
from phasegate.infra.grading.runner.layer_fit import still_fits
from phasegate.infra.grading.runner.setup_reads import Reads, ReadWatch, folders_of
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox, run_setup
from phasegate.infra.sandbox.environment import allowed_environment
from phasegate.infra.sandbox.overlay import overlays_work
from phasegate.infra.sandbox.port import BuildCaches, CommandResult
from phasegate.infra.sandbox.toolchain_versions import toolchain_versions
from phasegate.infra.system.trees import remove_tree, walk
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import clone, set_times

Origin = Literal["base", "change", "unknown"]
FORMAT = 1
"""Number of the way in which layers are made; another one does not use those made before."""
_AGE = 10
"""Seconds by which a checkout's files are older than what setup makes of them."""
_WRITTEN = "caches"
"""Folder beside a checkout for what its commands write to caches."""


@dataclass(frozen=True)
class Layers:
    """The layers of one bench.

    Attributes:
        repository: Holds the trees.
        policy: Names the setup command.
        sandbox: Where it runs.
        inside: Place of every checkout there.
        shared: Folder of the layers made on base commits; no change's command ever ran in what it holds.
        own: Folder of the layers that a change's setup made.
        histories: Folder of the copies of histories.
    """

    repository: Repository
    policy: Policy
    sandbox: Sandbox
    inside: Path
    shared: Path
    own: Path
    histories: Path

    async def find_or_make(
        self, commit: str, origin: Origin, folder: Path, take_back: Callable[[], None], belongs: Callable[[str], bool]
    ) -> Found | CommandResult | None:
        """The layer for a commit.

        Args:
            commit: What is to be set up.
            origin: Whose product code it holds; where that is unknown, no layer is made.
            folder: Place for a checkout in which a layer is made; empty before and after.
            take_back: Undoes there what setup did to tests.
            belongs: Tells tests by their path.

        Returns:
            The layer, the result of a setup command that failed, or `None` if the checkout has to be set up by itself.

        Effects: a layer is kept under the shared folder, or under the change's own.
        """
        key = await asyncio.to_thread(self._key)
        stores = [self.shared / key, *([self.own / key] if origin == "change" else [])]
        if stored_layer := await asyncio.to_thread(self._find, commit, stores):
            return stored_layer if stored_layer.layer.is_usable else None
        if origin == "unknown":
            return None
        store = stores[-1]
        if not self.policy.project.setup:
            return None if origin == "change" else await asyncio.to_thread(self._make_empty, commit, store)
        await asyncio.to_thread(store.mkdir, mode=0o700, parents=True, exist_ok=True)
        async with locked(store.with_suffix(".lock")):  # who asks while it is made takes what comes of it
            stored_layer = await asyncio.to_thread(self._find, commit, stores)
            outcome = stored_layer or await self._make(commit, store, folder, take_back, belongs)
        return outcome if not isinstance(outcome, Found) or outcome.layer.is_usable else None

    def lay(self, stored_layer: Found, commit: str, folder: Path, *, fills: bool = False) -> Laid | None:
        """Put a layer beneath a fresh checkout.

        Args:
            stored_layer: The layer.
            commit: The checkout's.
            folder: The checkout.
            fills: True if new caches are to be made where there are none, or where they are outgrown.

        Returns:
            The layer, kept from being removed until it is released. `None` if it is gone or cannot be copied; then the
            folder is of no use.
        """
        files = stored_layer.folder / FILES
        used = hold(stored_layer.folder)
        if used is None:
            return None
        is_mounted = self.sandbox.name != "none" and overlays_work(folder.parent.parent)
        if is_mounted:
            self._put_altered(files, commit, folder)
        elif not copy_into(files, folder):
            used.close()
            return None
        laid = Laid((used,), stored_layer, files if is_mounted and self.policy.project.setup else None, at=time.time())
        caches, other = self._caches(stored_layer, commit, folder, fills=fills)
        if caches and caches.workspace and not is_mounted and not copy_into(caches.workspace, folder):
            laid.release()
            return None
        return replace(laid, used=(used, *other), caches=caches, fills=fills and self._is_to_fill(stored_layer))

    def age(self, laid: Laid, commit: str, folder: Path) -> None:
        """Make the files of a checkout as old as those that its layer was made from, if they are the same.

        Cargo takes a file for compiled if it is old enough: those that differ from what was compiled are new.
        """
        layer, place = laid.found.layer, laid.found.folder
        has_compiled = bool(laid.caches and laid.caches.workspace)
        files = [path for path in self.repository.files(commit) if not os.path.lexists(place / FILES / path)]
        changed = self.repository.changed(layer.tree, commit)
        later = self.repository.changed(layer.compiled, commit) if has_compiled else {}
        times = {path: layer.compiled_at if path in changed else layer.made for path in files if path not in later}
        if not has_compiled:
            times = {path: moment for path, moment in times.items() if path not in changed}
        elif not aged_for_cargo(files, later):
            times |= {path: laid.at for path in files if path.endswith(".rs")}
        for moment in set(times.values()):
            set_times(folder, [path for path in times if times[path] == moment], moment)

    def fill(self, laid: Laid, commit: str, folder: Path) -> None:
        """Keep what a base commit's own tests compiled in a checkout, if the layer's caches are not as good.

        Effects: a layer with the same files, and with caches; the older one is not found any more.
        """
        layer, caches, store = laid.found.layer, laid.caches, laid.found.folder.parent
        if caches is None or not store.is_relative_to(self.shared):
            return
        is_mounted = overlays_work(caches.written)
        if not laid.fills:
            if is_outgrown(caches, is_mounted=is_mounted):
                (laid.found.folder / OUTGROWN).touch()
            return
        name = new_name()
        fresh = store.with_name(f".new-{name}")
        fresh.mkdir()
        # no command writes to a layer, so two of them may share files
        linked = ("cp", "-al", "--", laid.found.folder / FILES, fresh / FILES)
        if subprocess.run(linked, capture_output=True, check=False).returncode != 0:
            remove_tree(fresh, ignore_errors=True)
            return
        keep_home(fresh / HOME, caches, is_mounted=is_mounted)
        keep_workspace(fresh / COMPILED, folder, self.repository.files(commit))
        filled = replace(layer, compiled=self.repository.git.tree_of(commit), compiled_at=float(int(laid.at)))
        finish(fresh, filled, store / name)

    def _caches(
        self, stored_layer: Found, commit: str, folder: Path, *, fills: bool
    ) -> tuple[BuildCaches | None, list[TextIO]]:
        """The caches that a checkout begins with, and what keeps them from being removed."""
        files = self.repository.files(commit)
        if self.sandbox.name == "none" or not is_compiled(files):
            return None, []
        written = folder.with_name(_WRITTEN)
        if fills and self._is_to_fill(stored_layer):
            own = stored_layer.folder / HOME if not stored_layer.layer.compiled else None
            return BuildCaches(kept_home(own, home_folders(files)), written), []
        compiled = stored_layer.folder / COMPILED
        filled, used = self._filled()
        return BuildCaches(self._valid(filled, commit), written, compiled if compiled.is_dir() else None), [
            used
        ] if used else []

    def _is_to_fill(self, stored_layer: Found) -> bool:
        is_shared = stored_layer.folder.is_relative_to(self.shared)
        return is_shared and (not stored_layer.layer.compiled or (stored_layer.folder / OUTGROWN).exists())

    def _filled(self) -> tuple[Found | None, TextIO | None]:
        """The newest layer made on base that holds caches, which any tree may begin with, and what keeps it."""
        store = self.shared / self._key()
        for entry in sorted(store.iterdir(), key=lambda entry: entry.name, reverse=True) if store.is_dir() else ():
            if (entry / HOME).is_dir() and (used := hold(entry)):
                try:
                    return Found(STORED.validate_json((entry / ABOUT).read_bytes()), entry), used
                except ValidationError:  # of another version
                    used.close()
        return None, None

    def _valid(self, filled: Found | None, commit: str) -> dict[str, Path | None]:
        """Caches below HOME that tell apart what differs between the tree that they were filled on and a commit."""
        folders = home_folders(self.repository.files(commit))
        if filled is None:
            return dict.fromkeys(folders)
        try:
            differing = self.repository.changed(filled.layer.compiled or filled.layer.tree, commit)
        except RepositoryError:  # a tree that is gone
            return dict.fromkeys(folders)
        caches = kept_home(filled.folder / HOME, folders)
        return {folder: kept if still_valid(folder, differing) else None for folder, kept in caches.items()}

    def _put_altered(self, files: Path, commit: str, folder: Path) -> None:
        """Copy tracked files that setup altered, which a checkout's own would hide."""
        for path in self.repository.files(commit):
            if os.path.lexists(files / path):
                (folder / path).unlink(missing_ok=True)
                shutil.copy2(files / path, folder / path, follow_symlinks=False)

    def _find(self, commit: str, stores: Collection[Path]) -> Found | None:
        """The newest layer that fits a commit."""
        entries = [entry for store in stores if store.is_dir() for entry in store.iterdir()]
        for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
            is_shared = entry.is_relative_to(self.shared)
            try:
                layer = STORED.validate_json((entry / ABOUT).read_bytes())
                changes = self.repository.changed(layer.tree, commit)
                before = self.repository.files(layer.tree)
                if layer.compiled:
                    self.repository.changed(layer.compiled, commit)
            except (FileNotFoundError, NotADirectoryError, ValidationError, RepositoryError):
                continue  # being removed, of another version, or of a tree that is gone
            # all commits made of one change have the same version
            reads = layer.reads if is_shared else replace(layer.reads, commit=False)
            if still_fits(reads, before, changes) and not _covers(entry / FILES, before, changes):
                with suppress(FileNotFoundError):  # being removed, which is noticed when it is laid
                    os.utime(entry / USED)
                return Found(layer, entry)
        return None

    async def _make(
        self, commit: str, store: Path, folder: Path, take_back: Callable[[], None], belongs: Callable[[str], bool]
    ) -> Found | CommandResult:
        moment = float(int(time.time()) - _AGE)
        watch = await asyncio.to_thread(self._begin, commit, folder, moment)
        caches, used = await asyncio.to_thread(self._caches_of_setup, commit, store, folder)
        try:
            done = await run_setup(
                self.sandbox, self.policy, folder, inside=self.inside, on_done=watch.end, caches=caches
            )
            if done.exit_code != 0:
                return done
            tree, owner = self.repository.git.tree_of(commit), str(self.repository.git.git_dir)
            layer = Layer(tree, moment, watch.reads, owner, not watch.is_displaced)
            kept = {path for path in watch.altered if not belongs(path)}
            own = caches if store.is_relative_to(self.shared) else None
            return await asyncio.to_thread(self._keep, layer, commit, store, folder, take_back, kept, own)
        finally:
            if used:
                used.close()
            await asyncio.to_thread(remove_tree, folder, ignore_errors=True)

    def _make_empty(self, commit: str, store: Path) -> Found:
        """A layer of a project without a setup command, for its caches."""
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = new_name()
        fresh = store.with_name(f".new-{name}")
        (fresh / FILES).mkdir(parents=True)
        owner = str(self.repository.git.git_dir)
        layer = Layer(self.repository.git.tree_of(commit), float(int(time.time()) - _AGE), Reads(), owner)
        return finish(fresh, layer, store / name)

    def _caches_of_setup(self, commit: str, store: Path, folder: Path) -> tuple[BuildCaches | None, TextIO | None]:
        """The caches for a setup command, and what keeps them: one on base begins with none, since its own are kept."""
        folders = home_folders(self.repository.files(commit))
        if self.sandbox.name == "none" or not folders:
            return None, None
        filled, used = (None, None) if store.is_relative_to(self.shared) else self._filled()
        return BuildCaches(self._valid(filled, commit), folder.with_name(_WRITTEN)), used

    def _begin(self, commit: str, folder: Path, moment: float) -> ReadWatch:
        clone(self.repository, commit, folder, kept=self.histories)
        tracked = self.repository.files(commit)
        set_times(folder, tracked, moment)
        watch = ReadWatch(folder, tracked)
        watch.begin()
        return watch

    def _keep(
        self,
        layer: Layer,
        commit: str,
        store: Path,
        folder: Path,
        take_back: Callable[[], None],
        kept: set[str],
        caches: BuildCaches | None,
    ) -> Found:
        place = folder.with_name("layer")
        remove_tree(place, ignore_errors=True)
        place.mkdir()
        if layer.is_usable:
            take_back()
            _strip(folder, set(self.repository.files(commit)) - kept)
            folder.rename(place / FILES)
        else:
            (place / FILES).mkdir()
        if caches:
            keep_home(place / HOME, caches, is_mounted=overlays_work(caches.written))
        name = new_name()
        fresh = store.with_name(f".new-{name}")
        shutil.move(place, fresh)
        return finish(fresh, layer, store / name)

    def _key(self) -> str:
        """Digest of all that setup depends on, but for the tree."""
        home = Path("/home")  # the same for every command
        parts = {
            "format": FORMAT,
            "repository": str(self.repository.git.git_dir),
            "command": self.policy.project.setup,
            "handed": sorted(self.policy.project.setup_environment),
            "sandbox": self.policy.sandbox.model_dump(mode="json"),
            "environment": allowed_environment(self.policy.sandbox.environment, home),
            "backend": self.sandbox.name,
            "inside": str(self.inside),
            "toolchains": list(toolchain_versions()),
        }
        return sha256(canonical_json(json.loads(json.dumps(parts)))).removeprefix("sha256:")[:32]


def _covers(files: Path, before: Collection[str], changes: dict[str, str]) -> bool:
    """True if a layer holds something where another tree has a file that the layer's own has not."""
    folders = folders_of(before)
    for path in (path for path, letter in changes.items() if letter == "A"):
        place = path
        while (above := place.rpartition("/")[0]) not in folders:
            place = above
        if os.path.lexists(files / place):
            return True
    return False


def _strip(folder: Path, tracked: Collection[str]) -> None:
    """Remove what belongs to the checkout and not to the layer; links are not followed."""
    remove_tree(folder / ".git", ignore_errors=True)
    known = set(tracked)
    folders = folders_of(known)
    for parent, below, files in reversed(list(walk(folder))):
        for name in files:
            path = Path(parent, name)
            if str(path.relative_to(folder)) in known:
                path.unlink()
        for name in below:
            path = Path(parent, name)
            if not path.is_symlink() and str(path.relative_to(folder)) in folders and not any(path.iterdir()):
                path.rmdir()
