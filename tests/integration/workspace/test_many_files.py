"""A change of many files or odd ones: few git processes, every name kept, and what is no file is named."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phasegate.infra.grading.tree.diff import Hunk, hunks
from phasegate.infra.workspace import Repository, Workspace, git

if TYPE_CHECKING:
    from tests.integration.workspace.conftest import UserRepository

NEXT_LINES = "\x85" * 127
NO_TEXT = os.fsdecode(b"\xff\xfe" * 100)
CONTROLS = "a\nb\tc"


@pytest.fixture
def workspace(user: UserRepository, tmp_path: Path) -> Workspace:
    return Workspace.create(Repository.open(user.folder), "r1", user.git("rev-parse", "main"), tmp_path / "work")


def test_odd_names_survive_and_what_is_no_file_is_named(workspace: Workspace) -> None:
    """Mutation tried: `left_out` without what it names."""
    odd = workspace.folder / "odd"
    odd.mkdir()
    for name in (NEXT_LINES, NO_TEXT, CONTROLS):
        (odd / name).write_text("content\n")
    os.mkfifo(odd / "pipe")
    os.mkfifo(odd / "ignored.log")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(odd)  # the path of a socket is short
        listening.bind("socket")
        os.chdir(here)
        change = workspace.collect(workspace.base_commit, (), "Odd")
    assert change.left_out == ("odd/pipe", "odd/socket")
    assert "sockets, pipes or devices" in change.markdown()
    assert {file.path for file in change.files} == {
        "odd/" + "\\x85" * 127,
        "odd/" + "\\xff\\xfe" * 100,
        "odd/a\\nb\\tc",
    }
    assert type(change).from_canonical(change.canonical()) == change
    repository = workspace.repository
    names = repository.changed(workspace.base_commit, change.commit)
    assert set(names) == {f"odd/{name}" for name in (NEXT_LINES, NO_TEXT, CONTROLS)}
    for reading in (False, True):
        if reading:
            with repository.reading():
                contents = [repository.read_file(change.commit, path) for path in names]
        else:
            contents = [repository.read_file(change.commit, path) for path in names]
        assert contents == [b"content\n"] * 3


def test_a_change_without_special_files_is_stored_as_before(workspace: Workspace) -> None:
    (workspace.folder / "app.py").write_text("print('two')\n")
    assert "left_out" not in workspace.collect(workspace.base_commit, (), "Plain").canonical()


def test_many_files_take_few_processes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: `hunks` without `reading`."""
    for number in range(300):
        (workspace.folder / f"{number}.py").write_text(f"A = {number}\n")
    base = workspace.collect(workspace.base_commit, (), "Many")
    for number in range(300):
        (workspace.folder / f"{number}.py").write_text(f"A = {number}\nB = {number}\n")
    change = workspace.collect(workspace.base_commit, (), "More")
    processes: list[Sequence[str]] = []
    run, serve = git.run_git, git.Git.serve

    def counted(arguments: Sequence[str], *rest: object) -> object:
        processes.append(arguments)
        return run(arguments, *rest)  # type: ignore[arg-type]  # handed on as it came

    def counted_serving(self: git.Git, *arguments: str) -> object:
        processes.append(arguments)
        return serve(self, *arguments)

    monkeypatch.setattr(git, "run_git", counted)
    monkeypatch.setattr(git.Git, "serve", counted_serving)
    letters = workspace.repository.changed(base.commit, change.commit)
    pieces = list(hunks(workspace.repository, base.commit, change.commit, letters))
    assert len(pieces) == 300
    assert all(piece.added[0][1].startswith("B = ") for (piece,) in pieces)
    assert len(processes) <= 6


def test_all_files_at_once_have_the_pieces_that_each_has_alone(workspace: Workspace) -> None:
    files = {"a.py": "1\n2\n3\n", "b.py": "diff --git a b\n", "mode.sh": "x\n", "gone.py": "old\n", "data.bin": "a\0b"}
    for name, content in files.items():
        (workspace.folder / name).write_text(content)
    base = workspace.collect(workspace.base_commit, (), "Before").commit
    changed = {"a.py": "0\n2\n3\n4\n", "b.py": "diff --git a c\n", "data.bin": "a\0c", CONTROLS: "new\n"}
    for name, content in changed.items():
        (workspace.folder / name).write_text(content)
    (workspace.folder / "mode.sh").chmod(0o755)
    (workspace.folder / "gone.py").unlink()
    commit = workspace.collect(workspace.base_commit, (), "After").commit
    repository = workspace.repository
    letters = repository.changed(base, commit)
    together = dict(zip(letters, hunks(repository, base, commit, letters), strict=True))
    alone = {path: next(iter(hunks(repository, base, commit, {path: letters[path]}))) for path in letters}
    assert together == alone
    assert together["b.py"] == [Hunk("b.py", 1, 1, ((1, "diff --git a c"),), ("diff --git a b",), 0)]
    assert together["mode.sh"] == [Hunk("mode.sh", 0, 0)]


def test_several_threads_may_read_at_once(workspace: Workspace) -> None:
    for number in range(50):
        (workspace.folder / f"{number}.txt").write_text(f"{number}\n")
    commit = workspace.collect(workspace.base_commit, (), "Files").commit
    repository, wrong = workspace.repository, list[str]()

    def read() -> None:
        for _ in range(5):
            with repository.reading():
                for number in range(50):
                    if repository.read_file(commit, f"{number}.txt") != f"{number}\n".encode():
                        wrong.append(str(number))
                if repository.read_file(commit, "none\nof it") is not None:
                    wrong.append("missing")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
