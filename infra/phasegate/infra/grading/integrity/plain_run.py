"""Runs of tests in a plain process and in its watched twin, on one tree.

Called by `unwatched`. Both processes do the same; they differ in what code under test could tell them apart by. What
they write is untrusted, and so is the checkout. It must not know what a difference means.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.grading.integrity.aged_files import age_files
from phasegate.infra.grading.integrity.called_functions import read_call
from phasegate.infra.grading.integrity.command_variables import command_variables
from phasegate.infra.grading.integrity.installed_layout import InstalledLayout
from phasegate.infra.grading.integrity.moved_environment import alterable, relocate
from phasegate.infra.grading.integrity.plain_language import Language
from phasegate.infra.grading.integrity.plain_results import PlainTwins, Ran
from phasegate.infra.grading.runner.layers import Origin
from phasegate.infra.grading.runner.runner import Bench, Checkout, Prepared
from phasegate.infra.grading.runner.stored_files import write_new
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.tree.planted_names import WORDS
from phasegate.infra.sandbox import run_with_services
from phasegate.infra.sandbox.identity import draw_identity
from phasegate.infra.system.trees import remove_tree

_ROUNDS = 1_000_000
"""Rounds of repetition at most; their time ends them before."""
_GAP_SECONDS, _GAPS = 6.0, 3
"""Time between two calls where the change may measure it, and how often at most it is waited for."""
_BUDGET_SECONDS, _PATIENCE = 0.4, 3
"""Processor time of the first rounds, and of all others; and how many times as long either may take at most."""
_DAY = 86_400
_IDLE_SECONDS = 20
"""Time for which a daemon's input holds nothing and stays open, so that what reads it does not wait for ever."""
_FEWEST_PROCESSES = 1000
"""Processes that a machine has started before the plain one; up to twice as many."""
_DAEMONS = ("server", "main", "app")
"""Usual names of a service's own script."""
_LAUNCHER = Path(__file__).parent / "plain/launcher.py"
_TIMEOUT = timedelta(minutes=3)
_SLACK, _SLOWER = timedelta(minutes=1), 6
"""Time of the plain process besides its age, and how many times as long as its watched twin it may take."""
_LARGEST = 16 * 1024 * 1024
_ENDS = "it passes inside a test runner, and a plain process ends while it runs"
_HANGS = (
    "it passes inside a test runner within {:.0f} s, and a plain process does not end within {:.0f} s while it runs"
)
_NOT_LOADED = "it passes inside a test runner, and code of the change cannot be loaded in a plain process"
_DECAYS = "it passes at first, and fails once it has been run some {} times in one process"


@dataclass(frozen=True)
class PlainTests:
    """Test files that both processes run."""

    sealed: Mapping[str, str]
    """Path and text."""
    own: Mapping[str, str]
    """The project's own."""
    modules: Sequence[str] = ()
    """Modules that are loaded besides, as the language has it."""
    hides: bool = False
    """True where the product never asks for a runner, so that it can be kept from finding one."""
    changed: Sequence[str] = ()
    """Paths of product files that the change has."""
    known: str = ""
    """Text of the product on the base commit."""
    altered: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Names that changed files bind for the first time or otherwise, by path."""
    alters_known: bool = False
    """True if some of these names are the base commit's."""
    unread: frozenset[str] = frozenset()
    """Variables of the test command that the plain process does not get."""
    asks_for_age: bool = False
    """True where the change may ask the kernel how old the process is."""
    reads_clocks: bool = False
    """True where the change may measure the time between two calls."""
    asks_for_place: bool = False
    """True where the change may ask where it lies, or how it was built."""
    named: str = ""
    """Text of all files that belong to tests, where it may."""


@dataclass(frozen=True)
class PlainRun:
    """Both processes, on one tree.

    Attributes:
        bench: Where.
        language: Of the tests.
        graded: The graded tree.
        tests: What is run.
        age: Seconds that the plain process waits before it runs tests.
        own_seconds: Time for the project's own tests.
        base: The base commit, to run on it instead of the graded tree.
        neutral: True to give tests names that say nothing.
        repeats: True to repeat tests.
        installed: True to lay the checkout as a package manager leaves it, in the plain process.
        keeps_files: True to keep all files there, too.
        is_daemon: True to give the plain process a daemon's working folder, `/`, and an input that holds nothing yet.
    """

    bench: Bench
    language: Language
    graded: GradedTree
    tests: PlainTests
    age: float
    own_seconds: float
    base: str = ""
    neutral: bool = True
    repeats: bool = True
    installed: bool = False
    keeps_files: bool = False
    is_daemon: bool = False

    async def once(self, name: str, twin: Ran) -> Ran:
        """Run the plain process alone, as after a watched one with these results."""
        return await self._plain(name, twin.program, twin)

    async def twice(self, name: str) -> PlainTwins:
        """Run the watched process, then the plain one, in checkouts of their own: neither finds the other's files."""
        watched = await self._watched(name)
        plain = await self._plain(f"{name}-plain", watched.program, watched) if watched.program else Ran()
        return PlainTwins(watched, plain)

    @property
    def _gap(self) -> float:
        """Seconds between two calls in the plain process."""
        return _GAP_SECONDS if self.repeats and self.tests.reads_clocks else 0

    def _checkout(self, name: str) -> Checkout:
        origin: Origin = "base" if self.base else "change"
        return Checkout(name, self.base or self.graded.tree, self.graded.belongs_to_tests, origin=origin)

    async def _watched(self, name: str) -> Ran:
        """Results of the watched process, with the program that runs the tests; empty: none does.

        Where no test passes in any, the first program that came to a test counts.
        """
        async with self.bench.prepared(self._checkout(name)) as ready:
            begun = Ran()
            if not ready.failure:  # sealed tests lie there under the project's own runner, too
                sealed = (SealedFile(path=path, content=text, criteria=()) for path, text in self.tests.sealed.items())
                SealedTests(files=tuple(sealed)).write_into(ready.folder)
            programs = () if ready.failure else self.language.programs(ready, self.bench.policy.project.test)
            for program in programs:
                watched = await self._run(ready, program, ready.inside, watched=True)
                if watched.passed:
                    return replace(watched, program=program)
                if not begun.program and (watched.judged or watched.unloaded):
                    begun = replace(watched, program=program)
            return begun

    async def _plain(self, name: str, program: str, twin: Ran) -> Ran:
        """Results of the plain process; one that does not end where its watched twin did is lost in the test it ran."""
        needed = _SLACK + timedelta(seconds=self.age + _GAPS * self._gap + _SLOWER * twin.seconds)
        async with self.bench.prepared(self._checkout(name)) as ready:
            if ready.failure:
                return Ran()
            remove_tree(ready.folder / ".git", ignore_errors=True)
            place, changed = self._laid(ready, program)
            root, moved = Path("/srv", secrets.choice(WORDS), secrets.choice(WORDS)), ready
            if self.bench.sandbox.name == "none":  # which shows folders where they are
                root = ready.folder.with_name(secrets.choice(WORDS))
                ready.folder.rename(root)
                moved = replace(ready, folder=root)
            relocate(moved, root, root / place)
            age_files(moved.folder)
            program = program.replace(str(ready.inside), str(root))
            ran = await self._run(
                moved, program, root, watched=False, limit=min(needed, _TIMEOUT), place=place, changed=changed
            )
        if ran.has_ended:
            return ran
        if not twin.has_ended or needed > _TIMEOUT or ran.seconds < needed.total_seconds():
            return replace(ran, lost={})
        hangs = _HANGS.format(twin.seconds, needed.total_seconds())
        return replace(ran, lost={at: hangs if reason == _ENDS else reason for at, reason in ran.lost.items()})

    def _laid(self, ready: Prepared, program: str) -> tuple[str, Sequence[str]]:
        """Lay a checkout as an installed one, if that is wanted.

        Returns:
            The folder that it lies in from then on, below its top, and paths of changed files there.
        """
        if not self.installed:
            return "", self.tests.changed
        tests, place = self.tests, self.language.installed_place(ready, program)
        layout = InstalledLayout(place, f"{tests.known}\n{tests.named}", removes_files=not self.keeps_files)
        return place, layout.lay(ready.folder, tests.changed, [*tests.sealed, *tests.own])

    def _entry(self, ready: Prepared, word: str, *, watched: bool) -> str:
        """Name of the script at the top of a checkout; a daemon's says what it does."""
        name = f"{secrets.choice(_DAEMONS)}{self.language.entry_suffix}"
        if self.is_daemon and not watched and not ready.find(name).exists():
            return name
        return f"{'test_' if watched else ''}{word}_{secrets.token_hex(3)}{self.language.entry_suffix}"

    async def _run(
        self,
        ready: Prepared,
        program: str,
        top: Path,
        *,
        watched: bool,
        limit: timedelta = _TIMEOUT,
        place: str = "",
        changed: Sequence[str] = (),
    ) -> Ran:
        root, folder = top / place, ready.folder / place
        words = secrets.SystemRandom().sample(WORDS, 3)
        entry = self._entry(ready, words[0], watched=watched)
        out = ready.report / f"{words[2]}.jsonl"
        out.unlink(missing_ok=True)
        files = {**self.tests.sealed, **self.tests.own}
        order_name = f"{words[1]}_{secrets.token_hex(3)}.json"
        order: dict[str, Any] = {
            "parts": self.language.parts(),
            "watched": watched,
            "neutral": self.neutral and not watched,
            "root": str(root),
            "fixed": str(ready.inside),
            "entry": str(top / entry) if place else entry,
            "paths": self.language.paths(folder, files),
            "files": [{"path": path, "text": text} for path, text in files.items()],
            "own": list(self.tests.own),
            "modules": list(self.tests.modules),
            "changed": list(changed or self.tests.changed),
            "limit": self.own_seconds,
            "age": 0 if watched else self.age,
            "shift": 0 if watched else _DAY + secrets.randbelow(_DAY),
            "gap": self._gap,
            "rounds": _ROUNDS if self.repeats else 0,
            "calls": (self.is_daemon or not self.installed) and self.bench.sandbox.name != "none",
            "budget": _BUDGET_SECONDS,
            "patience": _patience(),
            "hides": self.tests.hides,
            "takes": self.tests.hides and self.bench.sandbox.name != "none",  # where environments would be the user's
            "out": str(out),
            "own_files": [str(top / order_name), str(top / entry)],
            "installed": self.installed,
            "keeps": self.keeps_files,
            "daemon": self.is_daemon and not watched,
        }
        write_new(ready.folder / order_name, json.dumps(order).encode())
        write_new(ready.folder / entry, self.language.entry(order, watched=watched, folder=folder).encode())
        project, identity = self.bench.policy.project, None
        command = self.language.command(program, entry, watched=watched)
        unread = frozenset[str]() if watched else self.tests.unread
        environment = {name: text for name, text in command_variables(project.test).items() if name not in unread}
        home = Path("/root") if self.is_daemon else top.parent
        environment |= self.language.environment(watched=watched, home=str(home))
        environment.setdefault("PYTHONHASHSEED", str(int(self.graded.tree[:7], 16)))  # orders are the same in both
        if not watched:
            idle = str(_IDLE_SECONDS if self.is_daemon else 0)
            number = _FEWEST_PROCESSES + secrets.randbelow(_FEWEST_PROCESSES)
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER.read_text(), str(number), idle, *command]
            if not project.services:  # some services refuse to run as this user or as that
                identity = draw_identity(secrets.choice(WORDS), is_first=True, is_root=self.is_daemon)
                identity = replace(identity, tools=alterable(program, ready.report), home=home)
                environment |= identity.environment
        done = await run_with_services(
            self.bench.sandbox,
            project.services,
            command,
            folder=ready.folder,
            timeout=limit,
            environment=environment,
            writable=[ready.report],
            inside=top,
            beneath=ready.beneath,
            caches=ready.caches,
            identity=identity,
        )
        for name in (order_name, entry):
            (ready.folder / name).unlink(missing_ok=True)
        ran = replace(_read(out), seconds=done.duration_seconds, has_ended=not (done.timed_out or done.stopped))
        return replace(ran, lost={}) if done.stopped else ran


def _patience() -> int:
    """Times as long that repetition may take by the clock: as many as processes wait for a processor, within bounds."""
    return max(1, min(_PATIENCE, round(os.getloadavg()[0] / (os.cpu_count() or 1))))


def _read(path: Path) -> Ran:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        return Ran()
    lines = list(_lines(path.read_text(errors="replace")))
    ran = Ran(lost=_lost(lines), unloaded=_unloaded(lines))
    for line in lines:
        match line:
            case {"test": str(name), "file": str(file), "outcome": "passed"}:
                ran.passed.add((file, name))
            case {"test": str(name), "file": str(file), "outcome": "failed", "message": str(message)}:
                ran.failed[file, name] = message
                if line.get("judges"):
                    ran.judged.add((file, name))
            case {"test": str(name), "file": str(file), "outcome": "decayed", "message": str(message)}:
                ran.decayed[file, name] = f"{_DECAYS.format(line.get('round'))}: {message}"
            case {"asked": str(name)}:
                ran.asked.add(name)
            case {"call": dict()}:
                called = read_call(line["call"])
                ran.calls += [called] if called else []
            case {"replaced": str(name), "by": str(by)}:
                ran.replaced[name] = by
            case _:
                pass
    return ran


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if document := json_table_or_empty(line, "a line of the process", constants=True):
            yield document


def _unloaded(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Files that could not be loaded."""
    failures = [line for line in lines if line.get("outcome") == "not-loaded"]
    return {str(line.get("file")): str(line.get("message")) for line in failures}


def _lost(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Tests, and with an empty name files, that were begun and never ended, or that code of the change keeps away."""
    lost: dict[tuple[str, str], str] = {}
    begun: tuple[str, str] | None = None
    for line in [*lines, {"running": None}]:
        if begun and "running" in line:
            lost[begun] = _ENDS
        match line:
            case {"running": str(name), "file": str(file)}:
                begun = file, name
            case {"file": str(file), "outcome": "not-loaded", "by_change": True, "message": str(message)}:
                lost[file, ""], begun = f"{_NOT_LOADED}: {message}", None
            case {"outcome": _}:
                begun = None
            case _:
                pass
    return lost
