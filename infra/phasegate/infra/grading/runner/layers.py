"""Layers: files that the setup command leaves in a checkout, kept and laid under further checkouts.

Called by `test_run`. A layer made on the base commit is shared by all grades, and no command ever writes to it: each
checkout gets a copy. A change that alters what its setup reads has layers of its own, which go with its grade. It must
not know what a checkout is tested for.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import RepositoryError
from phasegate.infra.file_lock import locked
from phasegate.infra.grading.runner.layer_fit import still_fits
from phasegate.infra.grading.runner.setup_reads import Reads, ReadWatch, folders_of
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox, run_setup
from phasegate.infra.sandbox.environment import allowed_environment
from phasegate.infra.sandbox.overlay import overlays_work
from phasegate.infra.sandbox.port import CommandResult
from phasegate.infra.sandbox.toolchain_versions import toolchain_versions
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import set_times

Origin = Literal["base", "change", "unknown"]
FORMAT = 1
"""Number of the way in which layers are made; another one does not use those made before."""
_AGE = 10
"""Seconds by which a checkout's files are older than what setup makes of them."""
ABOUT, _FILES, USED = "layer.json", "files", "used"


@dataclass(frozen=True)
class Layer:
    """Files that a setup command left behind."""

    tree: str
    """The tree that it ran on."""
    made: float
    """Time of the tracked files, in seconds since 1970; what setup made of them is newer."""
    reads: Reads
    repository: str = ""
    """Path of the git directory of the repository that it belongs to."""
    is_usable: bool = True
    """False if what it left cannot be told from the checkout, so that each one is set up by itself."""


STORED = TypeAdapter(Layer)


@dataclass(frozen=True)
class Found:
    """A layer, and its place."""

    layer: Layer
    folder: Path


@dataclass(frozen=True)
class Laid:
    """A layer that a checkout stands on."""

    _used: TextIO
    beneath: Path | None
    """Its files, to be seen beneath the checkout; `None`: they were copied."""

    def release(self) -> None:
        """Give it free to be removed."""
        self._used.close()


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
            The layer; the result of a setup command that failed; `None` if the checkout has to be set up by itself.

        Effects: a layer is kept under the shared folder, or under the change's own.
        """
        key = await asyncio.to_thread(self._key)
        stores = [self.shared / key, *([self.own / key] if origin == "change" else [])]
        if found := await asyncio.to_thread(self._find, commit, stores):
            return found if found.layer.is_usable else None
        if origin == "unknown":
            return None
        store = stores[-1]
        await asyncio.to_thread(store.mkdir, mode=0o700, parents=True, exist_ok=True)
        async with locked(store.with_suffix(".lock")):  # who asks while it is made takes what comes of it
            found = await asyncio.to_thread(self._find, commit, stores)
            made = found or await self._make(commit, store, folder, take_back, belongs)
        return made if not isinstance(made, Found) or made.layer.is_usable else None

    def lay(self, found: Found, commit: str, folder: Path) -> Laid | None:
        """Put a layer beneath a fresh checkout, and let the files that it was made from be as old as then.

        Returns:
            The layer, kept from being removed until it is released; `None` if it is gone or cannot be copied, and then
            the folder is of no use.
        """
        changed = self.repository.changed(found.layer.tree, commit)
        set_times(folder, [path for path in self.repository.files(commit) if path not in changed], found.layer.made)
        files = found.folder / _FILES
        try:
            used = (found.folder / USED).open()
        except FileNotFoundError:
            return None
        fcntl.flock(used, fcntl.LOCK_SH)  # nobody removes it meanwhile
        if found.folder.is_dir():
            if self.sandbox.name != "none" and overlays_work(folder.parent.parent):
                self._put_altered(files, commit, folder)
                return Laid(used, files)
            with used:
                copy = ("cp", "-a", "--reflink=auto", "--", f"{files}/.", str(folder))
                if subprocess.run(copy, capture_output=True, check=False).returncode == 0:
                    return Laid(used, None)
        used.close()
        return None

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
            except (FileNotFoundError, NotADirectoryError, ValidationError, RepositoryError):
                continue  # being removed, of another version, or of a tree that is gone
            # all commits made of one change have the same version
            reads = layer.reads if is_shared else replace(layer.reads, commit=False)
            if still_fits(reads, before, changes) and not _covers(entry / _FILES, before, changes):
                with suppress(FileNotFoundError):  # being removed, which is noticed when it is laid
                    os.utime(entry / USED)
                return Found(layer, entry)
        return None

    async def _make(
        self, commit: str, store: Path, folder: Path, take_back: Callable[[], None], belongs: Callable[[str], bool]
    ) -> Found | CommandResult:
        made = float(int(time.time()) - _AGE)
        watch = await asyncio.to_thread(self._begin, commit, folder, made)
        done = await run_setup(self.sandbox, self.policy, folder, inside=self.inside, on_done=watch.end)
        try:
            if done.exit_code != 0:
                return done
            tree, owner = self.repository.git.tree_of(commit), str(self.repository.git.git_dir)
            layer = Layer(tree, made, watch.reads, owner, not watch.is_displaced)
            kept = {path for path in watch.altered if not belongs(path)}
            return await asyncio.to_thread(self._keep, layer, commit, store, folder, take_back, kept)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _begin(self, commit: str, folder: Path, made: float) -> ReadWatch:
        self.repository.clone(commit, folder, kept=self.histories)
        tracked = self.repository.files(commit)
        set_times(folder, tracked, made)
        watch = ReadWatch(folder, tracked)
        watch.begin()
        return watch

    def _keep(
        self, layer: Layer, commit: str, store: Path, folder: Path, take_back: Callable[[], None], kept: set[str]
    ) -> Found:
        place = folder.with_name("layer")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if layer.is_usable:
            take_back()
            _strip(folder, set(self.repository.files(commit)) - kept)
            folder.rename(place / _FILES)
        else:
            (place / _FILES).mkdir()
        (place / ABOUT).write_bytes(STORED.dump_json(layer))
        (place / USED).touch()
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        fresh = store.with_name(f".new-{name}")
        shutil.move(place, fresh)
        fresh.rename(store / name)
        return Found(layer, store / name)

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
    shutil.rmtree(folder / ".git", ignore_errors=True)
    known = set(tracked)
    folders = folders_of(known)
    for parent, below, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(parent, name)
            if str(path.relative_to(folder)) in known:
                path.unlink()
        for name in below:
            path = Path(parent, name)
            if not path.is_symlink() and str(path.relative_to(folder)) in folders and not any(path.iterdir()):
                path.rmdir()
