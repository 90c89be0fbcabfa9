"""Trees that no recursion gets through are walked and removed.

Mutations tried: `shutil.rmtree` and `os.walk` in their place; a folder opened as it is; links followed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegate.infra.system.trees import remove_tree, walk

DEPTH = 5_000


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Folder that holds others, one in another."""
    home, top = Path.cwd(), tmp_path / "deep"
    top.mkdir()
    os.chdir(top)
    for number in range(DEPTH):
        Path(f"file-{number}").touch()
        Path("folder").mkdir()
        os.chdir("folder")
    os.chdir(home)
    yield top
    remove_tree(top, ignore_errors=True)


def test_a_tree_deeper_than_any_path_is_removed(deep: Path) -> None:
    remove_tree(deep)
    assert not deep.exists()


def test_a_tree_deeper_than_any_path_is_walked_as_far_as_paths_go(deep: Path) -> None:
    depths = [parent.count("/folder") for parent, _, _ in walk(deep)]
    assert depths == list(range(len(depths)))
    assert 500 < len(depths) < DEPTH


def test_closed_folders_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    for folder in ("a/b/c", "a/b", "a", "."):
        (top / folder).chmod(0)
    remove_tree(top)
    assert not top.exists()


def test_what_links_lead_to_stays(tmp_path: Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "top"
    (outside / "kept").mkdir(parents=True)
    outside.chmod(0o500)
    (top / "a").mkdir(parents=True)
    (top / "a" / "link").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    assert [folders for _, folders, _ in walk(top)] == [["a"], ["link"]]
    with pytest.raises(OSError, match="link"):
        remove_tree(tmp_path / "link")
    remove_tree(top)
    assert (outside / "kept").is_dir()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_what_cannot_be_removed_is_told_and_the_rest_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "top" / "a").mkdir(parents=True)
    for name in ("kept", "a/gone"):
        (tmp_path / "top" / name).touch()
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int) -> None:
        if path == "kept":
            raise PermissionError(path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError, match="kept"):
        remove_tree(tmp_path / "top")
    assert [path.name for path in (tmp_path / "top").iterdir()] == ["kept"]
    remove_tree(tmp_path / "top", ignore_errors=True)
    remove_tree(tmp_path / "missing", ignore_errors=True)
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "missing")


def test_a_walk_leaves_out_what_the_caller_takes_out(tmp_path: Path) -> None:
    for name in ("a/b/c", "x/y"):
        (tmp_path / name).mkdir(parents=True)
    walked: list[str] = []
    for parent, folders, _ in walk(tmp_path):
        walked.append(Path(parent).name)
        folders[:] = sorted(name for name in folders if name != "x")
    assert walked == [tmp_path.name, "a", "b", "c"]


def test_walks_are_those_of_the_library(tmp_path: Path) -> None:
    shutil.copytree(Path(os.__file__).parent / "json", tmp_path / "json")
    (tmp_path / "json" / "sub" / "below").mkdir(parents=True)
    own = {(parent, *sorted(folders), *sorted(files)) for parent, folders, files in walk(tmp_path)}
    assert own == {(parent, *sorted(folders), *sorted(files)) for parent, folders, files in os.walk(tmp_path)}
