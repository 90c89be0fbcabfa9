"""Packages of test runners, taken from the disk into memory, and traces of their loading: a release has none.

Runs inside the sandbox, in the plain process, where environments may be written to and are thrown away. Tests that
use a runner still import it, since its sources are kept here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Any

NO_PARTS = ("pytest", "_pytest", "pluggy", "xdist", "iniconfig")
"""Runners that are no part of Python, and what they need."""
_NEEDS_INSTALLED = re.compile(r"[\"']pytest[\"']|-m pytest|py\.test|pytester|testdir|runpytest|pytest\.main\(|pytest11")
"""In a test that starts a runner or asks for its version, which then has to be installed."""
_OF_RUNNERS = re.compile(r"pytest|pytest-.+|pluggy|iniconfig")
_NAME = re.compile(r"(?m)^Name:\s*([\w.-]+)")
_NEEDED = re.compile(r"(?m)^Requires-Dist:\s*([\w.-]+)")
_COLLECTIONS = 20
"""Times that the collector has run in a process that has been there for a while."""


class Packages:
    """Finder of runners' modules that were taken from the disk."""

    def __init__(self) -> None:
        """Find nothing, until they are taken."""
        self._sources: dict[str, Taken] = {}

    def take(self, texts: Iterable[str]) -> None:
        """Take runners, and what only they need, from the disk, unless a test needs them there.

        Args:
            texts: Tests, and the conftests above them.
        """
        if any(map(_NEEDS_INSTALLED.search, texts)):
            return
        for dist in _distributions_of_runners():
            place = os.path.abspath(str(dist.locate_file("")))
            if not place.startswith(sys.prefix + "/") or not os.access(place, os.W_OK):
                continue
            files = [os.path.abspath(str(dist.locate_file(file))) for file in dist.files or ()]
            files = [file for file in files if file.startswith(sys.prefix + "/") and os.path.isfile(file)]
            self._sources.update(_sources(files, place))
            _remove(files, place)

    def find_spec(self, name: str) -> Any:
        """Find a module that was taken."""
        source = self._sources.get(name)
        loader: Any = source and Taken(source.path, source.text)
        return source and importlib.util.spec_from_file_location(
            name, source.path, loader=loader, submodule_search_locations=source.places
        )


class Taken:
    """Loader of a module from memory."""

    def __init__(self, path: str, text: str) -> None:
        """Remember where it was."""
        self.path, self.text = path, text
        self.places = [os.path.dirname(path)] if os.path.basename(path) == "__init__.py" else None

    def create_module(self, spec: Any) -> Any:
        """Leave it to Python to make one."""
        return None

    def exec_module(self, module: Any) -> None:
        """Run the source."""
        exec(compile(self.text, self.path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - in the sandbox

    def get_source(self, name: str) -> str:
        """Return the source."""
        return self.text


def _distributions_of_runners() -> list[Any]:
    """Distributions of runners, and of what nothing else needs."""
    known = [(dist, dist.read_text("METADATA") or "") for dist in importlib.metadata.distributions()]
    named = [(match[1].lower().replace("_", "-"), dist, text) for dist, text in known if (match := _NAME.search(text))]
    others = [text for name, _, text in named if not _OF_RUNNERS.fullmatch(name)]
    needed = {name.lower() for text in others for name in _NEEDED.findall(_head(text))} - {"pytest"}
    return [dist for name, dist, _ in named if _OF_RUNNERS.fullmatch(name) and name not in needed]


def _head(text: str) -> str:
    """Fields of a distribution, without what only some of its users need, such as a runner for its tests."""
    return "\n".join(line for line in text.partition("\n\n")[0].splitlines() if "extra ==" not in line)


def _is_of_runner(name: str) -> bool:
    return name in NO_PARTS or name.startswith("pytest_")


def _sources(files: Iterable[str], place: str) -> Iterator[tuple[str, Taken]]:
    for file in files:
        parts = os.path.relpath(file, place)[:-3].split("/")
        if file.endswith(".py") and _is_of_runner(parts[0]):
            with open(file, encoding="utf-8", errors="replace") as source:
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), Taken(file, source.read())


def _remove(files: Iterable[str], place: str) -> None:
    """Remove a distribution: modules, folders and programs that are its own. Folders above look as old as they did."""
    gone = dict[str, None]()
    for file in files:
        top = os.path.relpath(file, place).split("/")[0]
        if top == "..":
            gone[file] = None
        elif _is_of_runner(top.partition(".")[0]) or top.endswith(".dist-info"):
            gone[os.path.join(place, top)] = None
    for path in gone:
        above = os.path.dirname(path)
        before = os.stat(above)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        os.utime(above, ns=(before.st_atime_ns, before.st_mtime_ns))


def hide_traces() -> None:
    """Hide what a runner leaves in an interpreter: names of its classes, finders of its folders, many objects."""
    pending: list[Any] = [object]
    seen = set[int]()
    while pending:
        for cls in type.__subclasses__(pending.pop()):
            if id(cls) in seen:
                continue
            seen.add(id(cls))
            pending.append(cls)
            if _is_of_runner(str(cls.__module__).partition(".")[0]):
                with contextlib.suppress(TypeError):  # a class that cannot be assigned to
                    cls.__module__ = "types"
    for place in list(sys.path_importer_cache):
        if any(map(_is_of_runner, place.split("/"))):
            del sys.path_importer_cache[place]
    gc.freeze()
    for _ in range(_COLLECTIONS):
        gc.collect()
