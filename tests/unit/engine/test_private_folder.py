"""P15: the state folder is its user's alone, or it is not used."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from phasegate.infra.errors import ConfigError
from phasegate.infra.settings import Settings

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o711, 0o777])
def test_a_folder_open_to_others_is_closed_and_it_is_said(
    mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """W5. Mutation tried: no `chmod`."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    with caplog.at_level(logging.WARNING):
        Settings.from_environment({"PHASEGATE_HOME": str(home)})
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert f"{home} could be read by others" in caplog.text
    caplog.clear()
    Settings.from_environment({"PHASEGATE_HOME": str(home)})
    assert not caplog.text


def _something_else(tmp_path: Path) -> Path:
    home = tmp_path / "project"
    home.mkdir(mode=0o755)
    (home / "README.md").touch()
    return home


def _with_a_link_in_it(tmp_path: Path) -> Path:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir(mode=0o700)
    other.mkdir()
    other.chmod(0o755)
    (home / "prefect").symlink_to(other)
    return home


def _written_by_others(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    (home / "ledger.db").touch()
    return home


def _below_an_open_folder(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    return tmp_path / "open" / "home"


def _linked_through_an_open_folder(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir(mode=0o700)
    link = _below_an_open_folder(tmp_path)
    link.symlink_to(tmp_path / "real")
    return link


def _linked_to_an_open_folder(tmp_path: Path) -> Path:
    target = _below_an_open_folder(tmp_path)
    target.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(target)
    return tmp_path / "link"


@pytest.mark.parametrize(
    "make",
    [
        _something_else,
        _with_a_link_in_it,
        _written_by_others,
        _below_an_open_folder,
        _linked_through_an_open_folder,
        _linked_to_an_open_folder,
    ],
)
def test_a_folder_that_others_could_write_to_or_replace_is_refused(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    """W5, and a path that was given by mistake.

    Mutations tried: `_check_parent` empty; the links' own folders unchecked; any folder is closed; links below it.
    """
    home = make(tmp_path)
    before = {path: path.stat().st_mode for path in tmp_path.rglob("*")}
    with pytest.raises(ConfigError, match="is not yours alone") as refused:
        Settings.from_environment({"PHASEGATE_HOME": str(home)})
    assert "PHASEGATE_HOME" in (refused.value.remedy or "")
    after = {path: path.stat().st_mode for path in tmp_path.rglob("*")}
    assert {path: after[path] for path in before} == before  # nobody's folder was closed by mistake


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_another_users_folder_is_refused(mode: int, tmp_path: Path) -> None:
    """W5, as it is, below it, and by a link. Mutation tried: owners unchecked."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(mode)
    (theirs / "mine").mkdir(mode=0o700)
    os.chown(theirs, NOBODY, NOBODY)
    (tmp_path / "link").symlink_to(theirs)
    (tmp_path / "deep").symlink_to(theirs / "mine")
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "planted").symlink_to(tmp_path / "own")
    os.chown(tmp_path / "planted", NOBODY, NOBODY, follow_symlinks=False)
    (tmp_path / "twice").symlink_to(tmp_path / "planted")
    for home in ("theirs", "theirs/mine", "link", "deep", "planted", "twice", "twice/below"):
        with pytest.raises(ConfigError, match="belongs to user nobody"):
            Settings.from_environment({"PHASEGATE_HOME": str(tmp_path / home)})
