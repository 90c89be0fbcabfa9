"""A bounded look at a repository's files: names and beginnings of texts; nothing is run or imported.

Used by `detect` and its parts, which know what the names mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, cast

from phasegate.infra.documents.json_text import read_json
from phasegate.infra.documents.toml_text import read_toml
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.system.trees import walk

_MAX_FILES = 5000
_MAX_BYTES = 200_000
_NOT_ENTERED = {"node_modules", "venv", "env", "vendor", "dist", "build", "target", "__pycache__", "site-packages"}
_TEST_FOLDERS = {
    "test",
    "tests",
    "spec",
    "specs",
    "__tests__",
    "testdata",
    "examples",
    "docs",
    "docs_src",
    "benchmarks",
}


class SourceTree:
    """The files of one folder, hidden and generated ones left out."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder; its files are listed once, when first asked for."""
        self._folder = folder
        self.unreadable: set[str] = set()
        """Manifests that are there and do not parse: broken, too deep, or larger than is read."""

    @cached_property
    def files(self) -> frozenset[PurePosixPath]:
        """Every file's path below the folder, at most 5,000."""
        return frozenset(path for path, _ in zip(self._walk(), range(_MAX_FILES), strict=False))

    def __contains__(self, name: str) -> bool:
        return PurePosixPath(name) in self.files

    def text(self, name: str | PurePosixPath) -> str:
        """A file's beginning, or an empty string if it cannot be read."""
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(_MAX_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def sources(self, *suffixes: str) -> list[PurePosixPath]:
        """The files that are not tests, examples or documentation, by path."""
        return sorted(
            path
            for path in self.files
            if path.suffix in suffixes
            and not _TEST_FOLDERS.intersection(path.parts[:-1])
            and not path.name.startswith("test_")
        )

    def toml(self, name: str) -> dict[str, Any]:
        """A TOML file as a mapping, or an empty one if it is not there or does not parse."""
        try:
            return read_toml(self.text(name), name)
        except DocumentUnreadable:
            self.unreadable.add(name)
            return {}

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file as a mapping, or an empty one if it is not there, does not parse or is none."""
        try:
            value = read_json(self.text(name), name)
        except DocumentUnreadable:
            if name in self:
                self.unreadable.add(name)
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def _walk(self) -> Iterator[PurePosixPath]:
        for root, folders, names in walk(self._folder):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_ENTERED)
            for name in sorted(names):
                yield PurePosixPath((Path(root) / name).relative_to(self._folder).as_posix())


def table(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """A table inside a manifest, or an empty one if it, or one around it, is missing or something else."""
    for name in names:
        value = data.get(name)
        data = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return data
