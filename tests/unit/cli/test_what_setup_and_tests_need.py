"""`doctor` looks for the programs of services, and for the variables that setup is handed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.repositories import first_commit

from phasegate.flows.cli.actions.checks import CheckContext, run_checks
from phasegate.infra.sandbox import overlay
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
    first_commit(repository)
    found = list(run_checks(CheckContext(Settings(home=tmp_path / "home"), case.environment, repository)))
    about = [one for one in found if one.name in ("service cache", "setup's variables")]
    assert [(one.name, one.outcome) for one in about] == case.outcomes
    assert case.said in about[0].detail + about[0].remedy
    assert not any("s3cr-t" in one.detail for one in about)


@dataclass(frozen=True)
class Mounting:
    why: str
    backend: str
    problem: str
    outcome: str
    said: str


MOUNTING = [
    Mounting("mounted", "bubblewrap", "", "ok", "mounted beneath each"),
    Mounting("no such file system", "bubblewrap", "a disk that cannot", "warning", "byte by byte: a disk that cannot"),
    Mounting("no sandbox", "none", "", "ok", "without a sandbox nothing is mounted"),
]


@pytest.mark.parametrize("case", MOUNTING, ids=lambda case: case.why)
def test_how_setup_s_files_come_into_checkouts_is_said(
    case: Mounting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's answer is given beforehand where it is the engine's to ask."""
    repository, home = tmp_path / "repository", tmp_path / "home"
    repository.mkdir()
    home.mkdir()
    policy = POLICY.replace("[lifecycle]", f'[sandbox]\nbackend = "{case.backend}"\n[lifecycle]')
    (repository / "phasegate.toml").write_text(policy)
    first_commit(repository)
    monkeypatch.setattr(overlay, "_TRIED", {home.stat().st_dev: case.problem})
    found = {
        one.name: one for one in run_checks(CheckContext(Settings(home=home), {"PATH": "/usr/bin:/bin"}, repository))
    }
    about = found["grading's checkouts"]
    if os.geteuid() != 0 and case.backend != "none":
        assert "the engine is not root" in about.detail
        return
    shares = case.problem and overlay.copies_share_blocks(home)
    assert about.outcome == ("ok" if shares else case.outcome)
    assert (f"sharing blocks: {case.problem}" if shares else case.said) in about.detail
    assert bool(about.remedy) == (about.outcome == "warning")
