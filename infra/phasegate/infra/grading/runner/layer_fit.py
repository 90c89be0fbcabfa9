"""Decision if a setup command would do the same on another tree, from what it read on the first one.

Called by `layers`. In doubt the answer is no, and the other tree is set up by itself. It must not know where layers
are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from phasegate.infra.grading.runner.setup_reads import Reads, folders_of
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.workspace import matches

_MANIFESTS = (
    "**/pyproject.toml",
    "**/setup.py",
    "**/setup.cfg",
    "**/MANIFEST.in",
    "**/requirements*",
    "**/constraints*",
    "**/Pipfile*",
    "**/environment*.y*ml",
    "**/pip.conf",
    "**/package*.json",
    "**/*[-_.]lock.*",
    "**/*lock.json",
    "**/*.lock",
    "**/.npmrc",
    "**/.yarnrc*",
    "**/pnpm-*",
    "**/tsconfig*.json",
    "**/*.config.*",
    "**/.babelrc*",
    "**/binding.gyp",
    "**/go.mod",
    "**/go.sum",
    "**/go.work*",
    "**/vendor/modules.txt",
    "**/Cargo.*",
    "**/.cargo/*",
    "**/rust-toolchain*",
    "**/build.rs",
    "**/pom.xml",
    "**/.mvn/*",
    "**/build.gradle*",
    "**/settings.gradle*",
    "**/gradle*",
    "**/Gemfile*",
    "**/*.gemspec",
    "**/composer.*",
    "**/Makefile",
    "**/makefile",
    "**/GNUmakefile",
    "**/CMakeLists.txt",
    "**/meson.build",
    "**/BUILD*",
    "**/Dockerfile*",
    "**/.env*",
    "**/.python-version",
    "**/.node-version",
    "**/.nvmrc",
    "**/.ruby-version",
    "**/.tool-versions",
    "**/mise.toml",
    "**/.gitattributes",
    "**/.gitmodules",
)
"""Files that a setup command looks for, and does otherwise if they are there."""


def still_fits(reads: Reads, before: Collection[str], changes: Mapping[str, str]) -> bool:
    """True if a setup command would leave the same on a tree as on the one where it was measured.

    Args:
        reads: Files and folders that it read.
        before: Paths of the tree where it was measured.
        changes: Paths that differ in the other tree, each with git's status letter.
    """
    if changes and (reads.everything or reads.commit):
        return False
    added = {path for path, letter in changes.items() if letter == "A"}
    removed = {path for path, letter in changes.items() if letter == "D"}
    if any(path in reads.files or path.endswith(".gitattributes") for path in changes):
        return False
    after = (set(before) - removed) | added
    return not (_shows(reads, before, added) or _shows(reads, after, removed))


def _shows(reads: Reads, there: Collection[str], new: Collection[str]) -> bool:
    """True if files that one of two trees has besides would show in what the command read."""
    if any(matches(_MANIFESTS, path) for path in new):
        return True
    folders = folders_of(there)
    packages = {str(PurePosixPath(path).parent) for path in there if PurePosixPath(path).name == "__init__.py"}
    read = {_folder_and_ending(path) for path in reads.files}
    present = {_folder_and_ending(path) for path in there}
    for path in new:
        folder, ending = _folder_and_ending(path)
        if folder in folders:
            # a folder's files may be told by their names alone, but for those of a package, which is taken whole
            by_name = folder not in packages and not is_test_file(path) and (folder, ending) in present
            if folder in reads.folders and ((folder, ending) in read or by_name):
                return True
        elif not is_test_file(path) and _first_existing(folder, folders) in reads.folders:
            return True
    return False


def _folder_and_ending(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, PurePosixPath(name).suffix


def _first_existing(folder: str, folders: Collection[str]) -> str:
    while folder not in folders:
        folder = folder.rpartition("/")[0]
    return folder
