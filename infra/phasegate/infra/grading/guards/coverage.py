"""Changed lines that the tests run, where the language gives it cheaply: Python by a tracer, node by V8's own count.

Called by `grade`, for a change that passed. What the tests' processes leave behind is untrusted: coverage decides
nothing, and a test file seen loaded by a changed line of the product only ever counts against the change. A project
whose own tools trace (pytest-cov, a debugger) is not measured. It must not know the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.grading.evidence import Coverage, Place
from phasegate.infra.grading.runner.runner import Bench, Checkout, RunProbe
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.graded_tree import GradedTree, product_hunks
from phasegate.infra.grading.tree.loading import Load
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.workspace.change_set import readable

_NODE = (".js", ".mjs", ".cjs")
_MOST_MARKED = 200_000_000
"""Characters that all ranges of one script cover together."""
_BOUNDS = DocumentBounds(size=64 * MIB, values=20_000_000)
_TRACER = """\
import atexit
import json
import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "wanted.json")) as listed:
    TOLD = json.load(listed)
HITS = {path: set() for path in TOLD["changed"]}
SOURCES = set(TOLD["sources"])
TESTS = set(TOLD["tests"])
LOADS = set()
KNOWN = {}


def path_of(frame):
    name = frame.f_code.co_filename
    path = KNOWN.get(name)
    if path is None:
        path = KNOWN[name] = os.path.realpath(name)
    return path


def note_load(path, frame):
    while frame is not None:
        by = path_of(frame)
        if by in SOURCES:
            if by in HITS:
                LOADS.add((path, by, frame.f_lineno))
            return
        frame = frame.f_back


def on_call(frame, event, arg):
    path = path_of(frame)
    if path in TESTS and frame.f_code.co_name == "<module>":
        note_load(path, frame.f_back)
    if path not in HITS:
        return None
    hits = HITS[path]

    def on_line(frame, event, arg):
        if event == "line":
            hits.add(frame.f_lineno)
        return on_line

    return on_line


def lines_of(code):
    found = {line for _, _, line in code.co_lines() if line} if hasattr(code, "co_lines") else set()
    for inner in code.co_consts:
        if hasattr(inner, "co_code"):
            found |= lines_of(inner) - {inner.co_firstlineno}
    return found


def leave():
    if sys.gettrace() is not on_call:
        return
    sys.settrace(None)
    told = {"loads": sorted(LOADS)}
    for path, hits in HITS.items():
        if hits:
            with open(path, "rb") as source:
                told[path] = {"hit": sorted(hits), "lines": sorted(lines_of(compile(source.read(), path, "exec")))}
    with open(os.path.join(HERE, "hits-%d.json" % os.getpid()), "w") as file:
        json.dump(told, file)


atexit.register(leave)
threading.settrace(on_call)
sys.settrace(on_call)
"""


@dataclass
class Lines:
    """Lines of one file, as far as they are known."""

    there: set[int] = field(default_factory=set[int])
    """Lines that can be run."""
    run: set[int] = field(default_factory=set[int])


@dataclass
class Tracing:
    """Measures some files while the tests run."""

    paths: Sequence[str]
    """Changed files."""
    tests: Sequence[str] = ()
    """Test files."""
    sources: Sequence[str] = ()
    """All source files of the project."""
    found: dict[str, Lines] = field(default_factory=dict[str, Lines])
    is_measured: set[str] = field(default_factory=set[str])
    """Languages that left anything behind."""
    loads: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])
    """Test files that a line of a changed file loaded: the test file, the changed file, the line."""

    def prepare(self, folder: Path, inside: Path) -> dict[str, str]:
        """As the port says."""
        tracer, counted = folder / "tracer", folder / "v8"
        tracer.mkdir()
        counted.mkdir()
        asked = {"changed": self.paths, "tests": self.tests, "sources": self.sources}
        python = {name: [str(inside / path) for path in paths if path.endswith(".py")] for name, paths in asked.items()}
        (tracer / "wanted.json").write_text(json.dumps(python))
        (tracer / "sitecustomize.py").write_text(_TRACER)
        return {"PYTHONPATH": str(tracer), "NODE_V8_COVERAGE": str(counted)}

    def read(self, folder: Path, checkout: Path, inside: Path) -> None:
        """As the port says."""
        for document in _documents((folder / "tracer").glob("hits-*.json")):
            self.is_measured.add("python")
            self.loads |= set(_loads(document.pop("loads", None), inside))
            for path, lines in document.items():
                self._add(self._name(path, inside), _numbers(lines, "lines"), _numbers(lines, "hit"))
        for document in _documents((folder / "v8").glob("coverage-*.json")):
            self.is_measured.add("node")
            for script in _listed(document, "result"):
                if name := self._name(unquote(urlsplit(str(script.get("url", ""))).path), inside):
                    self._add(name, *_counted((checkout / name).read_bytes(), script))

    def _name(self, path: str, inside: Path) -> str:
        root = f"{inside}/"
        name = path.removeprefix(root) if path.startswith(root) else ""
        return name if name in self.paths else ""

    def _add(self, name: str, there: set[int], run: set[int]) -> None:
        if name:
            lines = self.found.setdefault(name, Lines())
            lines.there |= there
            lines.run |= run


@dataclass(frozen=True)
class Measured:
    """Result of one more run of the tests, watched."""

    coverage: Coverage | None = None
    """None: the change holds no line of code."""
    loads: tuple[Load, ...] = ()
    """Test files that a changed line of the product was seen to load."""


@dataclass(frozen=True)
class CoverageMeasurement:
    """A measurement of a change's lines, to be made in any run of all tests."""

    changed: Mapping[str, Collection[int]]
    """Changed lines of code, by their file."""
    probe: Tracing

    @classmethod
    def of(cls, bench: Bench, base: str, graded: GradedTree) -> CoverageMeasurement | None:
        """Measurement of a change, prepared, or `None` if the change holds no line of code."""
        changed: dict[str, set[int]] = {}
        for hunk in product_hunks(bench.repository, base, graded):
            if is_code(hunk.path) and (lines := {number for number, text in hunk.added if text.strip()}):
                changed.setdefault(hunk.path, set()).update(lines)
        files = bench.repository.files(graded.tree)
        tests = [path for path in files if is_test_file(path) and path not in graded.product]
        return cls(changed, Tracing(tuple(changed), tests, files)) if changed else None

    @property
    def is_possible(self) -> bool:
        """True if a run can measure anything of it."""
        return any(traced_language(path) for path in self.changed)

    @property
    def watching(self) -> RunProbe | None:
        """The probe, if it can measure anything."""
        return self.probe if self.is_possible else None

    def result(self) -> Measured:
        """Result of the runs that were watched."""
        tracing = self.probe
        reached, unreached, unmeasured = 0, list[Place](), list[str]()
        for path, lines in self.changed.items():
            if traced_language(path) not in tracing.is_measured:
                unmeasured.append(path)
                continue
            known = tracing.found.get(path) or Lines(there=set(lines))
            counting = known.there.intersection(lines)
            reached += len(counting & known.run)
            unreached += _places(path, counting - known.run)
        coverage = Coverage(reached=reached, unreached=tuple(unreached), unmeasured=tuple(map(readable, unmeasured)))
        tests = set(tracing.tests)
        seen = {(path, by) for path, by, line in tracing.loads if path in tests and line in self.changed.get(by, ())}
        return Measured(coverage, tuple(Load(path, by, exact=True) for path, by in sorted(seen)))


async def measure(
    bench: Bench, measurement: CoverageMeasurement | None, graded: GradedTree, sealed: SealedTests, *, is_seen: bool
) -> Measured:
    """Tell which changed lines the tests run, and what they load.

    Args:
        bench: Where tests are run.
        measurement: What is measured; `None`: the change holds no line of code.
        graded: What the tests were run on.
        sealed: The sealed tests.
        is_seen: True if the measurement watched a run of all tests already; else they are run once more.
    """
    if measurement is None:
        return Measured()
    if measurement.is_possible and not is_seen:
        seen = measurement.probe  # perhaps of tests that are not released
        measurement = replace(measurement, probe=Tracing(seen.paths, seen.tests, seen.sources))
        checkout = Checkout("coverage", graded.tree, graded.belongs_to_tests, sealed, origin="change")
        await bench.run(checkout, measurement.probe)
    return measurement.result()


def traced_language(path: str) -> str:
    """Name the language of a file whose lines can be measured; empty for others."""
    return "python" if path.endswith(".py") else "node" if path.endswith(_NODE) else ""


def _place(offset: object, length: int) -> int:
    """An offset within a text of this length, whatever the report says."""
    return max(0, min(offset, length)) if isinstance(offset, int) else 0


def _counted(source: bytes, script: dict[str, Any]) -> tuple[set[int], set[int]]:
    """Lines with code, and those of them that V8 saw run: of nested ranges, the innermost decides."""
    text = source.decode(errors="replace")
    is_run = [True] * len(text)
    marked = 0
    for function in _listed(script, "functions"):
        for span in _listed(function, "ranges"):
            start, end = (_place(span.get(name), len(text)) for name in ("startOffset", "endOffset"))
            marked += max(0, end - start)
            if marked > _MOST_MARKED:
                return set(), set()  # ranges that no program has
            is_run[start:end] = [bool(span.get("count"))] * max(0, end - start)
    there, run, at = set[int](), set[int](), 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        flags = [is_run[at + place] for place, character in enumerate(line) if not character.isspace()]
        at += len(line)
        if flags and not line.lstrip().startswith(("//", "*", "/*", "}")):
            there.add(number)
            run |= {number} if any(flags) else set[int]()
    return there, run


def _places(path: str, lines: Iterable[int]) -> list[Place]:
    runs = groupby(enumerate(sorted(lines)), lambda pair: pair[1] - pair[0])
    grouped = ([number for _, number in group] for _, group in runs)
    return [Place(path=readable(path), start=numbers[0], end=numbers[-1]) for numbers in grouped]


def _documents(paths: Iterable[Path]) -> Iterable[dict[str, Any]]:
    for path in sorted(paths):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _BOUNDS.size:
            continue
        if document := json_table_or_empty(path.read_bytes(), path.name, _BOUNDS):
            yield document


def _loads(value: Any, inside: Path) -> Iterable[tuple[str, str, int]]:
    root = f"{inside}/"
    entries: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON
    for entry in entries:
        match entry:
            case [str(path), str(by), int(line)]:
                yield path.removeprefix(root), by.removeprefix(root), line
            case _:
                pass


def _listed(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value: Any = document.get(key)
    entries: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON
    return [entry for entry in entries if isinstance(entry, dict)]


def _numbers(document: Any, key: str) -> set[int]:
    value: Any = cast("dict[str, Any]", document).get(key) if isinstance(document, dict) else None
    entries: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON
    return {number for number in entries if isinstance(number, int)}
