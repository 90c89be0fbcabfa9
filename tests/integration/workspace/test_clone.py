"""Checkouts with a git directory of their own: what tools find there, and what they cannot reach from there."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import clone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.workspace.conftest import UserRepository


def ask(folder: Path, *words: str) -> str:
    """Ask git about a folder as a build tool does."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True)
    return done.stdout.decode().strip()


def on_base(repository: Repository, content: str) -> str:
    """A commit on top of the base commit that no ref leads to."""
    git, base = repository.git, repository.base("main").commit
    blob = git.line("hash-object", "-w", "--stdin", stdin=content.encode())
    with repository.private_index(repository.top) as own:
        own.output("read-tree", base)
        own.output("update-index", "--add", "--cacheinfo", f"100644,{blob},app.py")
        return git.write_commit(own.line("write-tree"), [base], "Graded\n", at=base)


@pytest.mark.parametrize("partial", ["", "true"], ids=["whole", "commits-alone"])
def test_head_tags_and_history_are_there(
    user: UserRepository, repository: Repository, tmp_path: Path, partial: str
) -> None:
    user.git("stash", "-q", "-u")
    user.git("tag", "-a", "v1.2", "-m", "Release")
    user.commit("Second")
    user.git("tag", "light")
    if partial:
        user.git("config", "remote.origin.promisor", partial)
    commit = on_base(repository, "print('three')\n")
    clone(repository, commit, tmp_path / "made", kept=tmp_path / "kept")
    assert ask(tmp_path / "made", "rev-parse", "HEAD") == commit
    assert ask(tmp_path / "made", "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert ask(tmp_path / "made", "describe", "--dirty", "--long") == f"v1.2-2-g{commit[:7]}"
    assert ask(tmp_path / "made", "tag") == "light\nv1.2"
    assert ask(tmp_path / "made", "rev-list", "--count", "HEAD") == str(
        int(user.git("rev-list", "--count", "main")) + 1
    )
    assert ask(tmp_path / "made", "status", "--porcelain") == ""
    assert (tmp_path / "made/app.py").read_text() == "print('three')\n"
    clone(repository, user.git("rev-parse", "main"), tmp_path / "base", kept=tmp_path / "kept")
    assert ask(tmp_path / "base", "describe", "--dirty", "--tags") == "light"


def test_nothing_of_the_user_s_is_in_it_or_can_be_reached_from_it(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    user.git("remote", "add", "origin", "https://user:secret@example.org/x.git")
    user.git("config", "core.hooksPath", "hooks")
    user.git("branch", "private")
    before, objects = user.state(), sorted(map(str, (user.folder / ".git/objects").rglob("*")))
    clone(repository, repository.base("main").commit, tmp_path / "made")
    config = (tmp_path / "made/.git/config").read_text()
    assert "secret" not in config
    assert "hooks" not in config
    assert ask(tmp_path / "made", "branch", "--list", "--all", "private") == ""
    shared = [path for path in (tmp_path / "made/.git").rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert shared == []
    assert not (tmp_path / "made/.git/objects/info/alternates").exists()
    (tmp_path / "made/app.py").write_text("print('other')\n")
    ask(tmp_path / "made", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qam", "Other")
    assert before == user.state()
    assert objects == sorted(map(str, (user.folder / ".git/objects").rglob("*")))


def test_files_are_written_as_their_attributes_say(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    user.git("stash", "-q", "-u")
    user.write(
        ".gitattributes", "ident.py ident\ndos.txt eol=crlf\nwide.txt working-tree-encoding=UTF-16LE\nx export-subst\n"
    )
    (user.folder / "wide.txt").write_bytes("ä\n".encode("utf-16-le"))
    user.commit("Attributes", **{"ident.py": "# $Id$\n", "dos.txt": "a\n", "x": "$Format:%H$\n"})
    clone(repository, repository.base("main").commit, tmp_path / "made")
    repository.export(repository.base("main").commit, tmp_path / "released")
    for name in ("ident.py", "dos.txt", "wide.txt", "x"):
        assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "released" / name).read_bytes()
    assert (tmp_path / "made/ident.py").read_text() != "# $Id$\n"
    assert (tmp_path / "made/dos.txt").read_bytes() == b"a\r\n"
    assert (tmp_path / "made/wide.txt").read_bytes() == "ä\n".encode("utf-16-le")
    assert (tmp_path / "made/x").read_text() == "$Format:%H$\n"


def test_a_shallow_repository_can_be_cloned(user: UserRepository, tmp_path: Path) -> None:
    user.git("stash", "-q", "-u")
    user.commit("Second")
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{user.folder}", str(tmp_path / "shallow")], check=True)
    repository = Repository.open(tmp_path / "shallow")
    clone(repository, on_base(repository, "x = 1\n"), tmp_path / "made")
    assert ask(tmp_path / "made", "log", "--format=%s") == "Graded\nSecond"


def test_a_repository_on_another_file_system_can_be_cloned(user: UserRepository, tmp_path: Path) -> None:
    user.git("stash", "-q", "-u")
    user.commit("Second")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        folder = pathlib.Path(memory, 'odd: "name')
        subprocess.run(["git", "clone", "-q", str(user.folder), str(folder)], check=True)
        repository = Repository.open(folder)
        assert folder.stat().st_dev != tmp_path.stat().st_dev
        clone(repository, on_base(repository, "x = 1\n"), tmp_path / "made", kept=tmp_path / "kept")
    assert ask(tmp_path / "made", "log", "--format=%s").startswith("Graded\nSecond\n")
    assert ask(tmp_path / "made", "fsck", "--strict") == ""


def test_names_may_hold_whatever_ends_a_line_elsewhere(
    user: UserRepository, repository: Repository, tmp_path: Path
) -> None:
    """Mutations tried: `splitlines` for the objects; for the tags."""
    name = "a\rb\x0b\x0c\x85\u2028 c\td"
    user.git("stash", "-q", "-u")
    (user.folder / name).write_text("one\n")
    user.commit("Odd")
    user.git("tag", "-a", "v1\u2028\x85x", "-m", "Odd")
    clone(repository, repository.base("main").commit, tmp_path / "copy")
    assert (tmp_path / "copy" / name).read_text() == "one\n"
    assert ask(tmp_path / "copy", "tag", "--list") == "v1\u2028\x85x"
