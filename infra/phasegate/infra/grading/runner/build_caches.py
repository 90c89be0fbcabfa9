"""Caches of compilers that base's own commands filled, for further commands to begin with.

Called by `layers`. Only what setup and the project's tests compiled on a base commit is kept, and of that nothing that
says how tests fared. Go and ccache find compiled code by the content that it was made of. Cargo goes by the age of
sources, so `layers` sets that. Gradle's and Maven's are not kept: theirs hold reports of tests. It must not know how a
cache is laid under a command.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from phasegate.infra.grading.runner.layer_entries import copy_into
from phasegate.infra.sandbox.port import BuildCaches
from phasegate.infra.system.trees import remove_tree, walk

_GO, _CCACHE = ".cache/go-build", ".cache/ccache"
_PROJECTS = {
    _GO: ("go.mod", "go.work"),
    _CCACHE: ("CMakeLists.txt", "Makefile", "GNUmakefile", "configure", "configure.ac", "meson.build"),
}
"""Caches by their folder below HOME, with files that tell a project whose tools fill it."""
_UNSEEN_BY_GO = (".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".c", ".cc", ".cpp", ".cxx", ".m", ".s", ".a", ".so")
"""Endings of files that C code in Go packages is made of, which Go's keys miss in other folders."""
_UNUSED_SECONDS = 10 * 365 * 24 * 3600
"""Time ahead of now: Go writes to each file of its cache that it uses and that is older than an hour."""
_MOST_OF_NEW = 4
"""Part of a cache that may be compiled on top of it until it is made again: one in so many bytes."""
_CARGO_MARK = ".rustc_info.json"
_CARGO_TOP = (_CARGO_MARK, "CACHEDIR.TAG")
_CARGO_PARTS = (".fingerprint", "deps", "build", "examples", ".cargo-lock")
"""Entries of a profile's folder that hold compiled code; others may hold a report of tests."""


def home_folders(files: Collection[str]) -> tuple[str, ...]:
    """List the caches below HOME that a project's tools fill, by the paths of its files."""
    names = {PurePosixPath(path).name for path in files}
    folders = (folder for folder, marks in _PROJECTS.items() if not names.isdisjoint(marks))
    return tuple(folder for folder in folders if folder != _CCACHE or shutil.which("ccache"))


def is_compiled(files: Collection[str]) -> bool:
    """True if a project's tools keep what they compile in a cache that is known here."""
    return bool(home_folders(files)) or any(PurePosixPath(path).name == "Cargo.toml" for path in files)


def still_valid(folder: str, differing: Collection[str]) -> bool:
    """True if a cache below HOME tells apart all files that differ from those it was filled with."""
    return folder != _GO or not any(path.lower().endswith(_UNSEEN_BY_GO) for path in differing)


def aged_for_cargo(files: Collection[str], differing: Collection[str]) -> bool:
    """True if sources that are the same may be as old as those that Cargo compiled.

    A build script or a macro may read files that Cargo does not know of; then the project's own crates are compiled.
    """
    return all(path.endswith(".rs") for path in differing) and not any(
        PurePosixPath(path).name == "build.rs" for path in files
    )


def keep_home(place: Path, caches: BuildCaches, *, is_mounted: bool) -> None:
    """Keep what commands find in the caches below HOME.

    Args:
        place: Takes the caches, by their folder below HOME.
        caches: Those of the commands, which have ended.
        is_mounted: True if what was kept before lies beneath what they wrote, false if it was copied there.
    """
    for folder, kept in caches.home.items():
        written, target = caches.place(folder), place / folder
        sources = [written] if written.is_dir() and any(written.iterdir()) else []
        if sources and kept is not None and is_mounted:
            sources.insert(0, kept)
        if not sources:
            continue
        target.mkdir(parents=True)
        if not all(copy_into(source, target) for source in sources):
            remove_tree(target)  # the disk may be full, and nothing needs a cache
        elif folder == _GO:
            _forget_tests(target)


def keep_workspace(place: Path, checkout: Path, tracked: Collection[str]) -> None:
    """Keep what Cargo compiled in a checkout, in a folder with the same paths."""
    for folder in _cargo_folders(checkout):
        relative = folder.relative_to(checkout)
        if any(PurePosixPath(path).is_relative_to(relative) for path in tracked):
            continue
        parts = [folder / name for name in _CARGO_TOP]
        parts += [profile / name for profile in _profiles(folder) for name in _CARGO_PARTS]
        if not all(_copied(part, place / part.relative_to(checkout)) for part in parts):
            remove_tree(place / relative)


def is_outgrown(caches: BuildCaches, *, is_mounted: bool) -> bool:
    """True if a command compiled so much on top of what was kept that the caches are better made again."""
    kept = sum(_bytes(folder) for folder in caches.home.values() if folder is not None)
    written = sum(_bytes(caches.place(folder)) for folder in caches.home)
    return (written if is_mounted else written - kept) * _MOST_OF_NEW > kept


def _forget_tests(cache: Path) -> None:
    """Mark all tests of Go as not run, and all files as none that Go has to write to."""
    remove_tree(cache / "fuzz", ignore_errors=True)
    expiry = cache / "testexpire.txt"
    expiry.unlink(missing_ok=True)  # a command may have put a link there
    expiry.write_text(f"{time.time_ns()}\n")
    ahead = time.time() + _UNUSED_SECONDS
    for parent, _, files in walk(cache):
        for name in files:
            if name.endswith(("-a", "-d")):
                os.utime(Path(parent, name), (ahead, ahead), follow_symlinks=False)


def _cargo_folders(checkout: Path) -> Iterator[Path]:
    for parent, folders, files in walk(checkout):
        if _CARGO_MARK in files:
            folders.clear()
            yield Path(parent)
        folders[:] = [name for name in folders if name not in (".git", ".venv", "node_modules")]


def _profiles(target: Path) -> Iterator[Path]:
    """Folders of a target folder that hold compiled code; a command may have put links in their place."""
    for pattern in ("*/.fingerprint", "*/*/.fingerprint"):
        for mark in target.glob(pattern):
            above = [folder for folder in mark.parents if folder.is_relative_to(target)]
            if not any(folder.is_symlink() for folder in (mark, *above)):
                yield mark.parent


def _copied(source: Path, target: Path) -> bool:
    """True if a file or folder was copied, or if there is none."""
    if source.is_symlink() or not source.exists():
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
        return copy_into(source, target)
    shutil.copy2(source, target)
    return True


def _bytes(folder: Path) -> int:
    return sum(
        os.lstat(path).st_size for parent, _, files in walk(folder) for name in files for path in [Path(parent, name)]
    )
