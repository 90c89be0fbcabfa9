"""Commands to a run at the command line: roles, keys, bytes to sign elsewhere; refused ones change nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.gates.conftest import Keys
from tests.ledgers import accepted, policy_with

from phasegate.infra.identity import AllowedSigners, local_person
from phasegate.infra.ledger import Run


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def signed_run(scene, keys) -> Callable[..., Run]:
    """Accepts a run whose commands Ana and Bo sign, and one of them Ana alone."""

    def accept(command: str) -> Run:
        signers = AllowedSigners(text=keys.line("ana") + keys.line("bo"))
        policy = policy_with(commands={command: ["ana"]}, allowed_signers=signers.digest)
        return accepted(scene.ledger, policy=policy, repository=str(scene.home), also=[signers])

    return accept


def asked(scene, run: Run) -> None:
    scene.ledger.questions.ask(scene.attempt(run, "implementation"), 1, 0, "public?")


def stopped(scene, run: Run) -> None:
    scene.ledger.runs.set_status(run.id, "failed")


def running(scene, run: Run) -> None:
    scene.ledger.runs.set_status(run.id, "running")


WORDS = {
    "pause": (running, ()),
    "cancel": (running, ()),
    "rollback": (running, ()),
    "resume": (stopped, ()),
    "steer": (running, ("be quick", "--now")),
    "answer": (asked, ("yes",)),
}


@pytest.mark.parametrize("command", WORDS)
def test_a_user_without_the_role_is_refused(scene, phasegate, woken, command):
    """Mutation tried: `command_giver` names the run's requester."""
    prepare, words = WORDS[command]
    run = accepted(scene.ledger, policy=policy_with(commands={command: ["somebody-else"]}))
    prepare(scene, run)
    before = scene.ledger.runs.get(run.id)
    answer = phasegate(command, run.id, *words)
    assert (answer.code, answer.out, woken) == (2, "", [])
    assert f"{local_person().name} may not {command} run {run.id}: it needs one of somebody-else" in answer.err
    assert f"[commands] {command}" in answer.err
    assert scene.ledger.runs.get(run.id) == before
    assert scene.ledger.newest(run.id).payload["command"] == command


@pytest.mark.parametrize("command", WORDS)
def test_a_command_is_signed_with_the_key_or_elsewhere(scene, phasegate, woken, command, signed_run, keys, tmp_path):
    prepare, words = WORDS[command]
    run = signed_run(command)
    prepare(scene, run)
    refused = phasegate(command, run.id, *words, "--key", str(keys.of("bo").file))
    assert (refused.code, f"bo may not {command}" in refused.err) == (2, True)
    unknown = phasegate(command, run.id, *words, "--key", str(keys.of("eve").file))
    assert (unknown.code, "not among the run's allowed signers" in unknown.err) == (2, True)
    printed = phasegate(command, run.id, *words, "--print", "--as", "ana")
    assert (printed.code, woken) == (0, [])
    statement = json.loads(printed.out)
    assert (statement["run"], statement["command"], statement["principal"]) == (run.id, command, "ana")
    content = tmp_path / "command"
    content.write_text(printed.out)
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "phasegate-command", "-f", str(keys.of("ana").file), str(content)]
    subprocess.run(sign, check=True, capture_output=True)
    answer = phasegate(command, run.id, *words, "--signature", f"{content}.sig")
    assert (answer.code, woken) == (0, [run.id]), answer.err
    assert scene.ledger.newest(run.id).actor == "ana"
    used = phasegate(command, run.id, *words, "--signature", f"{content}.sig")
    assert used.code == 2
    assert scene.ledger.audit(run.id).signatures == 1


def test_a_command_is_signed_with_a_key_of_ones_own(scene, phasegate, woken, signed_run, keys):
    run = signed_run("cancel")
    assert phasegate("cancel", run.id, "--key", str(keys.of("ana").file)).code == 0
    assert (scene.ledger.runs.get(run.id).request, woken) == ("cancel", [run.id])


def test_keys_are_for_runs_whose_commands_are_signed(scene, phasegate, woken, keys):
    run = scene.accept()
    answer = phasegate("cancel", run.id, "--key", str(keys.of("ana").file))
    assert (answer.code, woken) == (2, [])
    assert "identity.mode local" in answer.err


@pytest.mark.parametrize("signed", [False, True])
def test_what_one_may_not_clean_stays_and_is_named(scene, phasegate, keys, signed_run, signed):
    """Mutation tried: `clean` does not ask."""
    own = scene.accept()
    policy = policy_with(commands={"clean": ["somebody-else"]})
    other = signed_run("clean") if signed else accepted(scene.ledger, "run-two", policy=policy)
    for run in (own, other):
        scene.ledger.runs.set_status(run.id, "cancelled")
        (scene.settings.scratch / run.id).mkdir(parents=True)
    key = ("--key", str(keys.of("bo").file)) if signed else ()
    assert phasegate("clean", "--dry-run", *key).out.count("folder") == 2
    answer = phasegate("clean", *key, "--json")
    assert ([item["name"] for item in answer.json["removed"]], list(answer.json["left"])) == ([own.id], [other.id])
    assert "may not clean" in answer.json["left"][other.id]
    assert (scene.settings.scratch / other.id).is_dir()
    assert scene.ledger.newest(other.id).kind == "command.refused"
    if signed:
        assert "left" not in phasegate("clean", "--key", str(keys.of("ana").file)).out
        assert not (scene.settings.scratch / other.id).is_dir()
