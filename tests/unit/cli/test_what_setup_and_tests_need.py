"""`doctor` looks for the programs of services, and for the variables that setup is handed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.flows.cli.checkup import Patient, examine
from phasegate.infra.settings import Settings

POLICY = """\
[project]
test = "true {junit}"
setup = "true"
setup_environment = ["INDEX_PASSWORD"]
[lifecycle]
stages = ["prd"]
[[project.services]]
name = "cache"
kind = "redis"
"""


@dataclass(frozen=True)
class Case:
    why: str
    environment: dict[str, str]
    outcomes: list[tuple[str, str]]
    said: str


CASES = [
    Case(
        "nothing", {"PATH": "/nowhere"}, [("service cache", "failed"), ("setup's variables", "failed")], "redis-server"
    ),
    Case(
        "everything",
        {"PATH": "/usr/bin:/bin", "INDEX_PASSWORD": "s3cr-t"},
        [("service cache", "ok"), ("setup's variables", "ok")],
        "/usr/bin/redis-server",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_what_is_missing_is_said(case: Case, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "phasegate.toml").write_text(POLICY)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "First"]):
        subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)
    found = list(examine(Patient(Settings(home=tmp_path / "home"), case.environment, repository)))
    about = [one for one in found if one.name in ("service cache", "setup's variables")]
    assert [(one.name, one.outcome) for one in about] == case.outcomes
    assert case.said in about[0].detail + about[0].remedy
    assert not any("s3cr-t" in one.detail for one in about)
