"""Findings about data files of tests that a change's run writes to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phasegate.infra.grading.integrity.rewriting import about_rewriting
from phasegate.infra.grading.runner.file_state import DataWatch
from phasegate.infra.grading.runner.runner import TestRun

PATH = "tests/data/orders.json"


def restores(folder: Path) -> None:
    text = (folder / PATH).read_text()
    (folder / PATH).write_text("[]")
    (folder / PATH).write_text(text)


def links(folder: Path) -> None:
    os.link(folder / PATH, folder / "copy")


def swaps(folder: Path) -> None:
    (folder / "tests/data").rename(folder / "away")
    (folder / "tests/data").symlink_to(folder / "away")


def makes(folder: Path) -> None:
    (folder / "tests/data/new.json").write_text("[]")
    (folder / "tests/__pycache__").mkdir()


@dataclass(frozen=True)
class Work:
    name: str
    does: Callable[[Path], object]
    written: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()


WORKS = (
    Work("writes", lambda folder: (folder / PATH).write_text("[]"), (PATH,)),
    Work("restores the text", restores, (PATH,)),
    Work("removes", lambda folder: (folder / PATH).unlink(), (PATH,)),
    Work("puts a link in the place of the folder", swaps, ("tests/data",)),
    Work("links", links, (), (PATH,)),
    Work("makes new files", makes),
    Work("reads", lambda folder: (folder / PATH).read_text()),
)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_data_files_and_folders_are_watched(work: Work, tmp_path: Path) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text("[1]")
    os.utime(tmp_path / PATH, (1, 1))
    watch = DataWatch(tmp_path, [PATH, "tests/data/missing.json"])
    work.does(tmp_path)
    assert watch.changes() == (work.written, work.touched)


@dataclass(frozen=True)
class Case:
    name: str
    run: TestRun
    said: tuple[tuple[str, str], ...]
    before: TestRun = field(default_factory=lambda: TestRun(rewritten_data=()))


WRITES = TestRun(rewritten_data=(PATH,))
CASES = (
    Case("data is written", WRITES, ((PATH, "suspicion"),)),
    Case("base writes it, too", WRITES, (), WRITES),
    Case("base links to it", WRITES, (), TestRun(rewritten_data=(), touched_data=(PATH,))),
    Case("base was judged before data was watched", WRITES, (), TestRun()),
    Case("it is linked", TestRun(rewritten_data=(), touched_data=(PATH,)), ((PATH, "suspicion"),)),
    Case("code is written", TestRun(rewritten=("tests/test_a.py",), rewritten_data=()), (("", "cheating"),)),
    Case("nothing is written", TestRun(rewritten_data=()), ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_base_does_not_write_is_told(case: Case) -> None:
    found = about_rewriting(case.run, [case.before])
    assert tuple((one.path, one.severity) for one in found) == case.said
