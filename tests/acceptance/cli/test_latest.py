"""`latest`: the newest run of the repository that the person stands in, and of the machine elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import Answer, CliHarness


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return repository(tmp_path / "shop")


def repository(folder: Path) -> Path:
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org", "-C", str(folder)]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Begin"], check=True)
    return folder


def test_it_is_the_newest_run_of_this_repository(
    scene: CliHarness, phasegate: Callable[..., Answer], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: `Session.run` asks the ledger alone; each command then met the other repository's run."""
    ours = scene.accept(title="Ours", repository=shop)
    theirs = scene.accept(title="Theirs", repository=repository(tmp_path / "other"))
    subprocess.run(["git", "-C", str(shop), "worktree", "add", "-q", str(tmp_path / "linked")], check=True)
    (shop / "deep").mkdir()
    for place in (shop, shop / "deep", tmp_path / "linked"):
        monkeypatch.chdir(place)
        answer = phasegate("show", "latest", "--json")
        assert answer.json["id"] == ours.id
        assert answer.err == f"The latest run of this repository is {ours.id}; {theirs.id} is newer.\n"
        assert phasegate("approve", "latest").err.startswith(answer.err + f"Error: run {ours.id} is accepted")
    monkeypatch.chdir(tmp_path)
    answer = phasegate("show", "latest", "--json")
    assert (answer.json["id"], answer.err) == (theirs.id, "")


def test_a_repository_without_runs_names_another_one_and_decides_nothing(
    scene: CliHarness, phasegate: Callable[..., Answer], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, gate = scene.at_prd_gate(repository=repository(tmp_path / "other"))
    monkeypatch.chdir(shop)
    answer = phasegate("approve", "latest")
    assert answer.code == 2
    assert "this repository has no runs" in answer.err
    assert run.id in answer.err
    assert scene.ledger.gates.get(gate.id).status == "open"


def test_a_mistyped_id_names_those_alike(scene: CliHarness, phasegate: Callable[..., Answer]) -> None:
    assert phasegate("show", "latest").err.startswith("Error: there are no runs yet\n")
    run = scene.accept()
    answer = phasegate("show", run.id.replace("a", "b", 2))
    assert answer.code == 2
    assert f"Did you mean {run.id}?" in answer.err
    assert "Did you mean" not in phasegate("show", "xyz").err
