from __future__ import annotations

import os
from pathlib import Path

import pytest

from phasegate.infra.sandbox.environment import allowed_environment
from phasegate.infra.sandbox.toolchains import is_private, toolchains


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def shown_for(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> set[Path]:
    monkeypatch.setenv("PATH", "/usr/bin")
    before = set(toolchains())
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    return set(toolchains()) - before


def test_a_prefix_is_shown_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home / ".pyenv/bin/pyenv")
    (home / ".pyenv/libexec").mkdir()
    assert shown_for(monkeypatch, home / ".pyenv/bin") == {home / ".pyenv"}


def test_a_folder_of_programs_alone_is_shown_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home / ".cargo/bin/cargo")
    (home / ".cargo/credentials.toml").write_text("token")
    assert shown_for(monkeypatch, home / ".cargo/bin") == {home / ".cargo/bin"}


def test_a_folder_many_programs_share_is_never_shown_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = home / ".local/share/uv/tools/ruff"
    program(tool / "bin/ruff")
    (tool / "lib").mkdir()
    (home / ".local/lib").mkdir()
    (home / ".local/bin").mkdir()
    (home / ".local/bin/ruff").symlink_to(tool / "bin/ruff")
    assert shown_for(monkeypatch, home / ".local/bin") == {home / ".local/bin", tool}


def test_the_interpreter_a_virtual_environment_links_to_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = home / ".local/share/uv/python/cpython-3.12"
    program(base / "bin/python3.12")
    (base / "lib").mkdir()
    environment = home / "project/.venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").touch()
    (environment / "bin/python3").symlink_to("python")
    (environment / "bin/python").symlink_to(base / "bin/python3.12")
    assert shown_for(monkeypatch, environment / "bin") == {environment, base}


@pytest.mark.parametrize("entry", ["", "bin", "missing/bin"])
def test_the_home_itself_is_never_shown(entry: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "bin").mkdir()
    (home / "lib").mkdir()
    assert shown_for(monkeypatch, home / entry) <= {home / "bin"}


def test_what_lies_above_a_home_is_private(home: Path) -> None:
    assert is_private(home.parent)
    assert is_private(Path("/"))
    assert not is_private(home / ".pyenv")


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.setenv("PATH", "/usr/bin:.:relative:/usr/bin:/bin")
    given = allowed_environment(["DATABASE_URL", "NOT_SET"], Path("/tmp/home"))
    assert given.keys() == {"PATH", "HOME", "LANG", "TERM", "DATABASE_URL"}
    assert given["PATH"].split(":")[:2] == ["/usr/bin", "/bin"]
