"""Output of the commands before and around a run: init, doctor, schema, and a kick-off that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repositories import first_commit, git, write_files

from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.flows.views.artifact_types import OUTPUTS
from phasegate.infra.policy.load import load_policy
from phasegate.infra.system.detached import DetachedProcess

ARTIFACTS = {
    "Ticket",
    "Prd",
    "SealedTests",
    "ChangeSet",
    "Evidence",
    "ReleasePlan",
    "Candidate",
    "Release",
    "HealthReport",
    "Incident",
    "Overrun",
    "PermissionRequested",
}
DRAFTS = {
    "PrdDraft",
    "ChangeDraft",
    "TestsDraft",
    "AmendmentsDraft",
    "CharacterizationDraft",
    "ReleasePlanDraft",
    "IncidentDraft",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("print('hello')\n")
    first_commit(folder)
    return folder


def test_init_writes_a_policy_once(phasegate, repository):
    answer = phasegate("init", "--repo", str(repository))
    assert answer.code == 0
    written = (repository / "phasegate.toml").read_bytes()
    load_policy(written, source="phasegate.toml")
    assert "git commit" in answer.out
    again = phasegate("init", "--repo", str(repository))
    assert again.code == 2
    assert "phasegate init --force" in again.err
    (repository / "phasegate.toml").write_text("spoiled")
    forced = phasegate("init", "--repo", str(repository), "--force", "--json")
    assert forced.json["content"].encode() == written == (repository / "phasegate.toml").read_bytes()


def test_init_outside_of_a_repository(phasegate, tmp_path):
    answer = phasegate("init", "--repo", str(tmp_path), "--json")
    assert (answer.code, answer.json["error"]["code"]) == (2, "repository")


def test_doctor_finds_a_healthy_machine(phasegate, repository, monkeypatch):
    phasegate("init", "--repo", str(repository))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    findings = phasegate("doctor", "--repo", str(repository), "--json")
    assert [finding for finding in findings.json["findings"] if finding["outcome"] == "failed"] == []
    assert findings.code == 0
    assert "sk-made-up" not in findings.out


def test_doctor_names_the_remedy_of_what_fails(phasegate, repository, monkeypatch):
    (repository / "phasegate.toml").write_text("[agents]\nmodel = 'anthropic:claude-opus-4-6'\n[deploy]\nstart = 's'\n")
    monkeypatch.setenv("PATH", str(repository))
    answer = phasegate("doctor", "--repo", str(repository))
    assert answer.code == 2
    assert "✗ git" in answer.out
    assert "Install git" in answer.out


@pytest.mark.parametrize(
    ("policy", "said"),
    [("[agents]\nmodell = 'x:y'\n[deploy]\nstart = 's'\n", "modell"), (None, "phasegate init")],
    ids=["unknown key", "no policy"],
)
def test_doctor_reads_the_policy(phasegate, repository, policy, said):
    if policy is not None:
        (repository / "phasegate.toml").write_text(policy)
    answer = phasegate("doctor", "--repo", str(repository))
    assert answer.code == 2
    assert "✗ policy" in answer.out
    assert said in answer.out


def test_a_missing_key_fails_only_where_policy_wants_it(phasegate, repository):
    phasegate("init", "--repo", str(repository))
    findings = phasegate("doctor", "--repo", str(repository), "--json").json["findings"]
    found = {finding["name"]: finding for finding in findings}
    assert found["key of openai"]["outcome"] == "failed"
    assert "key of anthropic" not in found
    assert "OPENAI_API_KEY" in found["key of openai"]["remedy"]


@pytest.mark.parametrize("words", [("nowhere.md",), ("empty.md",)], ids=["missing", "empty"])
def test_a_refused_kick_off_leaves_nothing_behind(scene, phasegate, repository, tmp_path, words):
    (tmp_path / "empty.md").write_text("")
    answer = phasegate("run", *words, "--repo", str(repository))
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert (answer.out, scene.ledger.runs.list()) == ("", [])


def test_a_ticket_in_the_repository_is_no_uncommitted_change(phasegate, repository, woken, tmp_path, monkeypatch):
    """Mutation tried: `is_dirty` counts the ticket."""
    policy = '[sandbox]\nbackend = "none"\n[lifecycle]\nstages = ["prd"]\n'
    write_files(repository, {"phasegate.toml": policy, "tickets/1.md": "Say hello.\n"})
    git(repository, "add", "phasegate.toml")
    git(repository, "commit", "-q", "-m", "Policy")
    (tmp_path / "script.yaml").write_text("version: 1\nstages: {prd: [{finish: {}}]}\n")
    words = ("--rehearse", str(tmp_path / "script.yaml"), "--detach")
    monkeypatch.chdir(repository)
    assert "Uncommitted changes" not in phasegate("run", "tickets/1.md", *words).out

    (repository / "notes.txt").write_text("mine\n")
    out = phasegate("run", "tickets/1.md", *words).out
    assert f"which starts from commit {git(repository, 'rev-parse', 'HEAD')[:12]} of main." in out
    assert len(woken) == 2


def test_a_missing_key_says_how_to_choose_another_model(phasegate, repository):
    phasegate("init", "--repo", str(repository))
    (repository / "ticket.md").write_text("Say hello.\n")
    err = phasegate("run", str(repository / "ticket.md"), "--repo", str(repository)).err
    for word in ("OPENAI_API_KEY", "--model", "[agents] model", "--rehearse"):
        assert word in err


def test_schema_is_one_document(phasegate):
    every = phasegate("schema").json
    assert ARTIFACTS | DRAFTS | {"script", "phasegate.toml"} | set(OUTPUTS) == set(every)
    assert every["Prd"] == phasegate("schema", "Prd").json
    assert "acceptance_criteria" in every["Prd"]["properties"]


def test_documents_of_json_are_of_their_schemas(phasegate, scene):
    run, _ = scene.at_prd_gate()
    assert set(phasegate("show", run.id, "--json").json) == set(phasegate("schema", "run-report").json["properties"])
    (event, *_) = phasegate("logs", run.id, "--json").json
    assert set(event) - {"line"} == set(phasegate("schema", "event").json["properties"])
    (row,) = phasegate("runs", "--json").json
    assert set(row) - {"open_gates", "asks"} == set(phasegate("schema", "run").json["properties"])


def test_doctor_finds_an_engine_without_a_key_that_is_set_now(phasegate, repository, monkeypatch):
    info = EngineInfo(process=DetachedProcess(1, 1), ui_url="http://127.0.0.1:4200", model_keys=["ANTHROPIC_API_KEY"])
    monkeypatch.setattr(control, "status", lambda _: info)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    answer = phasegate("doctor", "--repo", str(repository))
    assert "✗ engine's keys: the engine was started without OPENAI_API_KEY" in answer.out
    assert "phasegate down" in answer.out
