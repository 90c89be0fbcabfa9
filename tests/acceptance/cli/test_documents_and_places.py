"""P17: odd documents, an output that takes nothing and odd places of state end in a sentence and the right code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.repositories import first_commit

from phasegate.infra.artifacts import sha256

PROGRAM = "from phasegate.flows.cli import main; main()"


def phasegate(*words: str, home: Path, folder: Path, output: str = "", more: Mapping[str, str] | None = None):
    environment = {**os.environ, "PHASEGATE_HOME": str(home), **(more or {})}
    with Path(output or os.devnull).open("w") as out:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=folder,
            env=environment,
            stdout=out if output else subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    first_commit(tmp_path / "project", {"app.py": "x = 1\n"})
    return tmp_path / "project"


def assert_plain(ended: subprocess.CompletedProcess[str], code: int) -> None:
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "defect of its own" not in ended.stderr


@pytest.mark.parametrize("words", [("runs", "--json"), ("runs",), ("--help",), ("schema",), ("show", "nope", "--json")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing(home: Path, tmp_path: Path, words: tuple[str, ...], unbuffered: str) -> None:
    """Mutation tried: without the guard, a traceback, or a defect of its own."""
    more = {"PYTHONUNBUFFERED": unbuffered}
    ended = phasegate(*words, home=home, folder=tmp_path, output="/dev/full", more=more)
    assert_plain(ended, 1)
    assert ended.stderr == "Error: the output cannot be written: No space left on device.\n"


def test_a_reader_that_has_enough_is_no_error(home: Path, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -c "{PROGRAM}" schema | head -c 1'
    environment = {**os.environ, "PHASEGATE_HOME": str(home)}
    ended = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_an_output_that_is_closed(home: Path, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -c "{PROGRAM}" runs >&-'
    environment = {**os.environ, "PHASEGATE_HOME": str(home)}
    ended = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert_plain(ended, 0)


PLACES = {
    "the ledger is a folder": ("ledger.db", "folder", "runs"),
    "the ledger is a pipe": ("ledger.db", "pipe", "runs"),
    "the ledger is a text": ("ledger.db", "text", "runs"),
    "the ledger is a folder, and an engine is wanted": ("ledger.db", "folder", "up"),
    "the lock of migrations is a folder": ("ledger.db.migrating", "folder", "runs"),
    "the engine's lock is a folder, and an engine is wanted": ("engine.lock", "folder", "up"),
    "the lock of stopping is a folder": ("stop.lock", "folder", "down"),
}


@pytest.mark.parametrize("name", PLACES)
def test_an_odd_place_of_state_is_named(home: Path, tmp_path: Path, name: str) -> None:
    """Mutations tried: without `_openable`; without the handler in `EngineLock`."""
    file, kind, command = PLACES[name]
    path = home / file
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("no database at all, whatever it is called\n" * 100)
    before = sha256(path.read_bytes()) if kind == "text" else ""
    words = [command, "--detach"] if command == "up" else [command]
    ended = phasegate(*words, home=home, folder=tmp_path)
    assert_plain(ended, 2)
    assert str(path) in ended.stderr
    assert not (home / "engine.json").exists()
    assert not before or sha256(path.read_bytes()) == before


BIG = "1" * 5_000
SCRIPT = "version: 1\nstages:\n  prd:\n  - finish: {{title: {odd}}}\n"
DOCUMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "an address without an end": ("https://[::1/a/b/issues/1", {}),
    "an issue's number of 5,000 digits": (f"https://github.com/a/b/issues/{BIG}", {}),
    "aliases in a ticket": ("t.md", {"t.md": "---\na: &a [1]\ntitle: *a\n---\nx"}),
    "1,000 lists in a ticket": ("t.md", {"t.md": f"---\na: {'[' * 1_000}\n---\nx"}),
    "an empty integer in a script": ("ok.md", {"s.yaml": SCRIPT.format(odd="!!int ''")}),
    "a boolean of a word in a script": ("ok.md", {"s.yaml": SCRIPT.format(odd="!!bool x")}),
    "half of a character in a script": ("ok.md", {"s.yaml": SCRIPT.format(odd='"\\ud800"')}),
    "5,000 digits in a script": ("ok.md", {"s.yaml": SCRIPT.format(odd=BIG)}),
    "5,000 digits in a policy": ("ok.md", {"phasegate.toml": f"[lifecycle]\nmax_attempts = {BIG}\n"}),
    "5,000 dots in a policy": ("ok.md", {"phasegate.toml": f"{'.'.join('a' * 5_000)} = 1\n"}),
    "a glob of thirty wildcards in a policy": ("ok.md", {"phasegate.toml": f'[protect]\npaths = ["{"**/" * 30}"]\n'}),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_odd_document_ends_before_anything_begins(home: Path, project: Path, name: str) -> None:
    ticket, files = DOCUMENTS[name]
    policy = files.get("phasegate.toml", '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n')
    for file, content in {"ok.md": "Greet by name\n", "s.yaml": SCRIPT.format(odd="T"), **files}.items():
        (project / file).write_text(content)
    (project / "phasegate.toml").write_text(policy)
    subprocess.run(["git", "add", "phasegate.toml"], cwd=project, check=True)
    subprocess.run(["git", "commit", "-qm", "policy"], cwd=project, check=True)
    ended = phasegate("run", ticket, "--rehearse", "s.yaml", "--detach", home=home, folder=project)
    assert_plain(ended, 2)
    listed = phasegate("runs", "--json", home=home, folder=project)
    assert listed.stdout.strip() in {"[]", '{\n  "runs": []\n}'}, listed.stdout
    assert not (home / "engine.json").exists()
