"""Find the files of tests whose report names packages or crates alone.

Called by `report`. A checkout's files are untrusted: none is read through a link, and what is read is bounded. A wrong
answer costs no more than a test that is not told apart. It must not know what a test's status is.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from phasegate.infra.grading.runner.report_xml import RawCase
from phasegate.infra.system.trees import walk

_MODULE = re.compile(r"(?m)^module[ \t]+\"?([^\s\"]+)\"?[ \t]*(?://.*)?$")
_GO_TEST = re.compile(r"(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(")
_LARGEST = 2_000_000
"""Bytes of the largest test file that is looked into."""
_ENTRIES = 50_000
"""Entries of a checkout that are looked at."""
_LEFT_OUT = (".git", "target", "node_modules", ".cargo-home", "vendor")


def with_files(cases: Iterable[RawCase], root: Path) -> list[RawCase]:
    """Add the file to each test of Go that comes without, and make those of Cargo relative to the checkout.

    Args:
        cases: A report's.
        root: The checkout that the tests ran in.
    """
    packages, crates = _GoPackages(root), _CargoFiles(root)
    raw_cases: list[RawCase] = []
    for case in cases:
        file = case.attributes.get("file") or case.suite_file
        if file is None:
            file = packages.file_of(case.attributes.get("classname", ""), case.attributes.get("name", ""))
        elif file.endswith(".rs"):
            file = crates.file_of(file)
        if file is not None:
            case.attributes["file"] = file
        else:
            case.attributes.pop("file", None)
        raw_cases.append(case)
    return raw_cases


@dataclass
class _GoPackages:
    root: Path
    _module: str | None = None
    _files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Per folder, each test function's file."""

    def file_of(self, package: str, test: str) -> str | None:
        """The file that declares a test; the folder, for what concerns all of its package."""
        if self._module is None:
            declaration = _MODULE.search(_read(self.root / "go.mod"))
            self._module = declaration[1] if declaration else ""
        if not self._module or (package != self._module and not package.startswith(f"{self._module}/")):
            return None
        folder = package.removeprefix(self._module).strip("/")
        if ".." in folder.split("/"):
            return None
        if folder not in self._files:
            self._files[folder] = self._declared(folder)
        if test.startswith("["):
            return folder or "."
        return self._files[folder].get(test.partition("/")[0])

    def _declared(self, folder: str) -> dict[str, str]:
        place = self.root / folder
        try:
            names = sorted(entry.name for entry in os.scandir(place) if entry.name.endswith("_test.go"))
        except OSError:
            return {}
        paths = ((name, f"{folder}/{name}" if folder else name) for name in names)
        return {test: path for name, path in paths for test in _GO_TEST.findall(_read(place / name))}


@dataclass
class _CargoFiles:
    root: Path
    _by_name: dict[str, list[str]] = field(default_factory=dict)

    def file_of(self, path: str) -> str | None:
        """The one file whose path ends so: Cargo names it relative to its package."""
        if not self._by_name:
            self._by_name = self._listed()
        paths = [known for known in self._by_name.get(path.rpartition("/")[2], ()) if f"/{known}".endswith(f"/{path}")]
        return paths[0] if len(paths) == 1 else None

    def _listed(self) -> dict[str, list[str]]:
        paths: dict[str, list[str]] = defaultdict(list)
        seen = 0
        for parent, folders, files in walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
            seen += len(files) + len(folders)
            if seen > _ENTRIES:
                break
            for name in files:
                if name.endswith(".rs"):
                    paths[name].append(str(Path(parent, name).relative_to(self.root)))
        return dict(paths)


def _read(path: Path) -> str:
    """A regular file's text, or an empty string if there is none, or a large one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            return ""
        return file.read().decode(errors="replace")
