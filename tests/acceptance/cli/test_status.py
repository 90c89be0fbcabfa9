"""`phasegate status` of what does not run on this machine: each target is asked, and one that is silent is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasegate.infra.ledger import Run
from phasegate.infra.policy.model import Policy

SERVES = """
import json
at = {"url": "https://shop.example", "detail": "on two hosts", "weight": 25}
print(json.dumps({"current": "run-1", "alive": True, "candidates": ["run-2"], **at}))
"""


def deployed(scene: Any, deploy: dict[str, Any]) -> Run:
    """A run that has begun to deploy, of a repository with `ops.py`."""
    for words in (["init", "-q", "-b", "main"], ["add", "ops.py"], ["commit", "-qm", "Base"]):
        (scene.home / "ops.py").write_text(SERVES)
        subprocess.run(["git", *words], cwd=scene.home, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=scene.home, capture_output=True, text=True, check=True)
    policy = Policy.model_validate({"lifecycle": {"stages": ["prd", "implementation", "testing"]}, "deploy": deploy})
    run: Run = scene.accept(policy=policy, base_commit=head.stdout.strip())
    scene.ledger.effects.intend(run.id, "candidate", "candidate:1", intent={}, compensation="stop it")
    return run


def commands(**others: str) -> dict[str, Any]:
    return {"target": "command", "commands": {"status": f"{sys.executable} ops.py", **others}}


def test_what_the_teams_command_says(scene: Any, phasegate: Any):
    deployed(scene, commands())

    (state,) = phasegate("status", "--json").json["services"]
    assert (state["target"], state["current"]["release_id"], state["current"]["alive"]) == ("command", "run-1", True)
    said = " ".join(phasegate("status").out.split())
    assert "on target command: release run-1 answers on https://shop.example (on two hosts)" in said


def test_a_look_leaves_what_the_engine_asks_alone(scene: Any, phasegate: Any):
    deployed(scene, commands())
    phasegate("status")
    assert not list(scene.settings.services.glob("*/log"))


@pytest.mark.parametrize(
    ("deploy", "problem"),
    [
        (commands(status="exit 3"), "does not say what serves"),
        ({"target": "kubernetes", "manifests": "k8s", "namespace": "shop"}, "The cluster cannot be reached"),
    ],
    ids=["command", "kubernetes"],
)
def test_a_target_that_is_silent_is_said_to_be(
    scene: Any, phasegate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deploy: dict[str, Any], problem: str
):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    deployed(scene, deploy)

    answer = phasegate("status", "--json")

    assert answer.code == 0
    (silent,) = answer.json["silent"]
    assert (silent["target"], answer.json["services"]) == (deploy["target"], [])
    assert problem in silent["problem"]
    assert silent["remedy"]
    assert "what serves is not known" in " ".join(phasegate("status").out.split())
