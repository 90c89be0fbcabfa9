"""Files that lead to others by the names that they write: imports, includes, paths in quotes.

Called where tests are told apart that have nothing to do with some files. A name that is put together while running is
not seen, so the answer is good for saving time and not for a verdict. It must not know what becomes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from phasegate.infra.grading.tree.loading import Targets, texts
from phasegate.infra.workspace import Repository

_MANY = 5_000
"""Files of a repository up to which all are read."""


def contents(repository: Repository, commit: str) -> dict[str, str] | None:
    """Text of each file of a commit, or `None` if there are too many to be read."""
    files = repository.files(commit)
    return texts(repository, commit, files) if len(files) <= _MANY else None


def reaching(content: Mapping[str, str], wanted: Collection[str]) -> frozenset[str]:
    """Files that load any of some files, by themselves or through others, with those files.

    Args:
        content: Text of each file.
        wanted: Paths of the files that may be loaded.
    """
    paths, fresh = set(wanted), set(wanted)
    while fresh:
        targets = Targets.of(fresh)
        names = {PurePosixPath(path).name for path in fresh}
        packages = {_folder(path) for path in fresh if path.endswith(".go")}
        fresh = {
            path
            for path, text in content.items()
            if path not in paths
            and (
                (path.endswith(".go") and _uses_package(path, text, packages))
                or any(name in text for name in names)
                or any(True for _ in targets.loaded_by(path, text))
            )
        }
        paths |= fresh
    return frozenset(paths)


def _uses_package(path: str, text: str, packages: Collection[str]) -> bool:
    """True if a Go file belongs to one of some packages, or imports one; that of the top folder has any name."""
    return _folder(path) in packages or any(not folder or f'/{folder}"' in text for folder in packages)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
