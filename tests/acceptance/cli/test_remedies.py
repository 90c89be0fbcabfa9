"""Remedies that fit: what a command prints names the command that helps, before and after it undoes something."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from tests.acceptance.cli.conftest import Answer, CliHarness
from tests.support.repositories import first_commit

from phasegate.flows.cli.actions.checks import CheckContext, CheckResult, run_checks
from phasegate.flows.runs.base_policy import read_policy
from phasegate.infra.errors import PolicyError
from phasegate.infra.ledger import Run
from phasegate.infra.settings import Settings
from phasegate.infra.workspace import Repository

Call = Callable[..., Answer]
DEPLOYS = '[project]\ntest = "true {junit}"\n[deploy]\nstart = "python3 -m shop"\n'
QUORUM = """\
[project]
test = "true {junit}"
[lifecycle]
stages = ["prd"]
[roles]
maintainer = ["ana"]
[gates.change]
roles = ["maintainer"]
quorum = 2
"""


def done_run(scene: CliHarness) -> Run:
    run = scene.accept()
    effect = scene.ledger.effects.intend(
        run.id, "merge", f"{run.id}/merge", intent={}, compensation="revert the merge on phasegate/main"
    )
    scene.ledger.effects.done(effect, {"commit": "0" * 40})
    scene.ledger.runs.set_status(run.id, "done")
    return run


def repository(folder: Path, policy: str) -> Path:
    folder.mkdir()
    (folder / "phasegate.toml").write_text(policy)
    first_commit(folder)
    return folder


def findings(folder: Path, home: Path) -> dict[str, CheckResult]:
    return {finding.name: finding for finding in run_checks(CheckContext(Settings(home=home), {}, folder))}


def test_the_effects_are_shown_before_a_rollback(scene: CliHarness, phasegate: Call, woken: list[str]) -> None:
    run = done_run(scene)
    answer = phasegate("rollback", run.id)
    assert f"Undoes of run {run.id}, newest first:\n  merge: revert the merge on phasegate/main\n" in answer.out
    assert woken == [run.id]


@pytest.mark.parametrize(("yes", "asks", "given"), [((), True, False), (("--yes",), False, True)])
def test_a_terminal_is_asked_before_anything_is_undone(
    scene: CliHarness,
    phasegate: Call,
    woken: list[str],
    monkeypatch: pytest.MonkeyPatch,
    yes: tuple[str, ...],
    asks: bool,
    given: bool,
) -> None:
    """Mutation tried: `confirmed` returns True before it asks; the request was then recorded."""
    run, questions = done_run(scene), list[str]()

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    def refuse(question: str) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr(sys, "stdin", Terminal)
    monkeypatch.setattr(sys.stdout, "isatty", Terminal.isatty, raising=False)
    monkeypatch.setattr(click, "confirm", refuse)
    answer = phasegate("rollback", run.id, *yes)
    assert (bool(questions), bool(scene.ledger.runs.get(run.id).request)) == (asks, given)
    assert answer.code == (0 if given else 1)


def test_commands_name_the_one_that_helps(scene: CliHarness, phasegate: Call, woken: list[str]) -> None:
    run = done_run(scene)
    assert f"phasegate rollback {run.id}" in phasegate("cancel", run.id).err
    assert "a checkpoint is a number" in phasegate("rewind", run.id, "abc").err
    assert f"phasegate checkpoints {run.id}" in phasegate("rewind", run.id, "0x1").err
    assert "phasegate answer RUN" in phasegate("answer", run.id, " ").err
    assert "phasegate steer RUN" in phasegate("steer", run.id, "").err
    assert woken == []


def test_a_quorum_that_nobody_can_reach_is_refused(tmp_path: Path) -> None:
    """Mutation tried: `_require_passable` left out; the run was accepted and its gate never opened."""
    folder = repository(tmp_path / "shop", QUORUM)
    with pytest.raises(PolicyError, match="gate change can never pass") as refused:
        read_policy(Repository.open(folder))
    assert "quorum = 2" in refused.value.message
    assert findings(folder, tmp_path / "home")["policy"].outcome == "failed"


def test_doctor_speaks_of_this_repository_alone(tmp_path: Path) -> None:
    """Mutation seen: two keys that no policy wants were listed, and a service without a port passed three gates."""
    shown = findings(repository(tmp_path / "shop", DEPLOYS), tmp_path / "home")
    assert shown["start command"].outcome == "warning"
    assert "{port}" in shown["start command"].detail
    assert [name for name in shown if name.startswith("key of")] == ["key of openai"]
    elsewhere = findings(tmp_path, tmp_path / "home")["policy"]
    assert "git init" in elsewhere.remedy


def test_doctor_goes_on_where_the_state_folder_cannot_be_made(
    phasegate: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: the folder is made before the checks; doctor then had this one finding."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PHASEGATE_HOME", str(tmp_path / "file" / "home"))
    folder = repository(tmp_path / "shop", DEPLOYS)
    shown = {row["name"]: row for row in phasegate("doctor", "--repo", str(folder), "--json").json["findings"]}
    assert shown["state folder"]["outcome"] == "failed"
    assert {"git", "policy", "free port"} <= set(shown)
