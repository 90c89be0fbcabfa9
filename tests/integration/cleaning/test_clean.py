"""Leftovers of runs go once the runs have ended; nothing that a run could still need goes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.ledgers import accepted

from phasegate.flows.cli.root import phasegate
from phasegate.flows.runs.cleaning import Removed, clean
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.grading.runner.layer_entries import ABOUT, STORED, USED, Layer
from phasegate.infra.grading.runner.layer_retention import LayerLimits, drop_layers
from phasegate.infra.grading.runner.setup_reads import Reads
from phasegate.infra.ledger import Ledger, Run, RunStatus
from phasegate.infra.policy.model import LifecyclePolicy, Policy
from phasegate.infra.policy.retention import RetentionPolicy
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings
from phasegate.infra.workspace import Repository, Workspace

LARGE = 2 * 1024**2


class Place:
    """A repository, a state folder and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "project"
        self.top.mkdir()
        (self.top / "app.py").write_text("ONE = 1\n")
        (self.top / ".gitignore").write_text(".venv/\n")
        self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "First")
        self.base = self.git("rev-parse", "HEAD")
        self.settings = Settings(home=folder / "home")
        self.settings.create_folders()
        self.ledger = Ledger.open(self.settings.database_url)

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.top), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    def run(self, run_id: str, status: RunStatus, retention: RetentionPolicy | None = None) -> Run:
        """A run with a worktree, a checkpoint, work that no checkpoint has, dependencies and scratch files."""
        stages = LifecyclePolicy(stages=("prd", "implementation", "testing"))
        policy = StoredPolicy(policy=Policy(lifecycle=stages, retention=retention or RetentionPolicy()))
        run = accepted(self.ledger, run_id, repository=str(self.top), base_commit=self.base, policy=policy)
        folder = self.settings.workspaces / run_id / "work"
        workspace = Workspace.create(Repository.open(self.top), run_id, self.base, folder)
        (folder / "app.py").write_text("ONE = 2\n")
        workspace.checkpoint("implementation", 1)
        (folder / "app.py").write_text("ONE = 3\n")
        (folder / ".venv").mkdir()
        (folder / ".venv/large").write_bytes(b"x" * LARGE)
        scratch = self.settings.scratch / run_id
        scratch.mkdir()
        (scratch / "large").write_bytes(b"x" * LARGE)
        self.ledger.runs.set_status(run_id, status)
        return run

    def refs(self, run_id: str) -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split() for line in lines if f"/{run_id}" in line)

    def folders(self, run_id: str) -> list[Path]:
        wanted = (self.settings.workspaces / run_id, self.settings.scratch / run_id)
        return [folder for folder in wanted if folder.exists()]


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    made = Place(tmp_path)
    yield made
    made.ledger.close()


@pytest.mark.parametrize("status", ["done", "failed", "rejected", "rolled-back", "cancelled"])
def test_folders_of_a_run_that_ended_go_and_its_work_stays(place: Place, status: RunStatus) -> None:
    place.run("run-one", status)
    (removed,) = clean(place.settings, place.ledger, Secrets())
    assert (removed.kind, removed.name) == ("folder", "run-one")
    assert removed.bytes > 2 * LARGE
    assert place.folders("run-one") == []
    assert len(place.git("worktree", "list").splitlines()) == 1
    refs = place.refs("run-one")
    assert place.git("show", f"{refs['refs/phasegate/run-one/latest']}:app.py") == "ONE = 2"
    assert place.git("show", f"{refs['refs/phasegate/run-one/lost/1']}:app.py") == "ONE = 3"
    assert list(clean(place.settings, place.ledger, Secrets())) == []
    again = Workspace.create(
        Repository.open(place.top), "run-one", place.base, place.settings.workspaces / "run-one" / "work"
    )
    assert (again.folder / "app.py").read_text() == "ONE = 2\n"


def test_what_is_kept_of_a_folder_holds_no_secret(place: Place) -> None:
    """Mutation tried: a workspace that is removed without the secrets that must not be kept."""
    place.run("run-one", "failed")
    key = "sk-made-up-0123456789abcdef"
    (place.settings.workspaces / "run-one" / "work" / "app.py").write_text(f"KEY = '{key}'\n")
    list(clean(place.settings, place.ledger, Secrets.of({"OPENAI_API_KEY": key})))
    kept = place.git("show", f"{place.refs('run-one')['refs/phasegate/run-one/lost/1']}:app.py")
    assert kept.startswith("KEY = ")
    assert key not in kept


@pytest.mark.parametrize("status", ["running", "waiting", "paused", "needs-operator"])
def test_a_run_that_goes_on_keeps_all(place: Place, status: RunStatus) -> None:
    place.run("run-one", status, RetentionPolicy(refs=timedelta(0)))
    assert list(clean(place.settings, place.ledger, Secrets())) == []
    assert len(place.folders("run-one")) == 2


def test_a_run_in_an_engine_s_hands_keeps_all(place: Place) -> None:
    place.run("run-one", "failed")
    place.ledger.leases.take("run-one", "machine/engine")
    assert list(clean(place.settings, place.ledger, Secrets())) == []


def test_refs_go_when_policy_says_so_and_no_run_needs_them(place: Place) -> None:
    place.run("run-one", "done", RetentionPolicy(refs=timedelta(0)))
    place.run("run-one-more", "done")
    place.run("run-two", "failed", RetentionPolicy(refs=timedelta(0)))
    kinds = {(one.kind, one.name) for one in clean(place.settings, place.ledger, Secrets())}
    assert ("refs", "run-one") in kinds
    assert {name for kind, name in kinds if kind == "refs"} == {"run-one"}
    assert [ref for ref in place.refs("run-one") if "run-one-more" not in ref] == []
    assert place.refs("run-one-more")
    assert place.refs("run-two")


def test_the_command_removes_nothing_on_a_dry_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run("run-one", "done")
    monkeypatch.setenv("PHASEGATE_HOME", str(place.settings.home))
    dry = CliRunner().invoke(phasegate, ["clean", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "run-one" in dry.output
    assert len(place.folders("run-one")) == 2
    done = CliRunner().invoke(phasegate, ["clean", "--json"])
    assert '"dry_run": false' in done.output
    assert place.folders("run-one") == []


def test_a_repository_that_is_gone_keeps_no_folder(place: Place) -> None:
    place.run("run-one", "done")
    place.top.rename(place.top.with_name("elsewhere"))
    assert [one.kind for one in clean(place.settings, place.ledger, Secrets())] == ["folder"]


class Layers:
    """A folder of layers, each with a time of last use."""

    now = datetime(2026, 1, 31, tzinfo=UTC)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, days: int) -> Path:
        made = self.folder / "key" / name
        (made / "files").mkdir(parents=True)
        (made / "files/large").write_bytes(b"x" * LARGE)
        (made / ABOUT).write_bytes(STORED.dump_json(Layer("tree", 0, Reads(), "/repository")))
        (made / USED).touch()
        used = (self.now - timedelta(days=days)).timestamp()
        os.utime(made / USED, (used, used))
        return made

    def drop(self, days: int = 14, size: int = 10 * LARGE) -> list[str]:
        limits = {"/repository": LayerLimits(timedelta(days=days), size)}
        return [folder.name for folder, _ in drop_layers(self.folder, limits.__getitem__, self.now)]


def test_layers_go_by_the_time_of_their_last_use_and_by_their_size(tmp_path: Path) -> None:
    layers = Layers(tmp_path)
    for name, days in {"new": 1, "older": 5, "old": 13, "too old": 15}.items():
        layers.add(name, days)
    assert layers.drop() == ["too old"]
    assert layers.drop(size=2 * LARGE + LARGE // 2) == ["old"]
    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == ["new", "older"]


def test_a_layer_that_a_grade_copies_stays(tmp_path: Path) -> None:
    layers = Layers(tmp_path)
    held = layers.add("held", 15)
    holding = f"import fcntl, sys; f = open({str(held / USED)!r}); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True)"
    holder = subprocess.Popen(
        ["python3", "-c", f"{holding}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline()
    assert layers.drop() == []
    holder.communicate()
    assert layers.drop() == ["held"]


def test_what_was_removed_is_a_document() -> None:
    assert Removed("folder", "run-one", 5).document() == {"kind": "folder", "name": "run-one", "bytes": 5}
