"""Output of the commands that only read a ledger, which was filled through its API; no engine is needed."""

from __future__ import annotations

import sqlite3
import subprocess
from datetime import UTC, datetime

import pytest

from phasegate.agents.monitoring import Incident
from phasegate.infra.identity import Person
from phasegate.infra.ledger import RunOptions
from phasegate.infra.metrics.report import HealthReport, Measurement, MetricReport, Outcome
from phasegate.infra.policy.model import Policy
from phasegate.infra.tickets.read import read_ticket

STEERING = {chr(code) for code in [*range(9), *range(11, 32), 0x7F, *range(0x80, 0xA0), 0x202E]}

UNGUARDED = {
    "deploy": {"start": "serve {port}"},
    "sandbox": {"backend": "none"},
    "gates": {"release": {"off": True, "reason": "one person on call"}},
}


def test_show_json_is_the_whole_run(scene, phasegate):
    run, gate = scene.at_prd_gate(options=RunOptions(notices=("uncommitted changes are left alone",)))
    answer = phasegate("show", "latest", "--json")
    assert answer.code == 0
    shown = answer.json
    assert (run.id, "waiting", 3) == (shown["id"], shown["status"], shown["exit_code"])
    assert (run.policy, run.ticket) == (shown["policy"], shown["ticket"]["digest"])
    assert run.title == shown["ticket"]["content"]["title"]
    (stage,) = shown["stages"]
    assert (stage["stage"], stage["part"], stage["attempt"], stage["status"]) == ("prd", "", 1, "finished")
    assert stage["model"] == "openai:gpt-5.3-codex"
    assert ("prd", gate.subject["prd"]) == (stage["artifact"]["kind"], stage["artifact"]["digest"])
    assert stage["artifact"]["content"]["title"] == "Links that expire"
    assert tuple(stage["usage"][key] for key in ("turns", "tokens", "cost_usd", "unpriced")) == (1, 120, None, 1)
    assert [gate.subject_digest] == [known["subject_digest"] for known in shown["gates"]]
    assert (shown["exchanges"], shown["usage"]["tokens"], shown["decisions"]) == (1, 120, [])
    assert shown["options"]["notices"] == ["uncommitted changes are left alone"]
    assert (shown["effects"], shown["messages"], shown["release"]) == ([], [], None)


def test_show_has_decisions_effects_and_the_release(scene, phasegate):
    run, gate = scene.at_prd_gate()
    scene.ledger.gates.decide(gate.id, "approve", Person("ana", "local"), note="as agreed")
    effect = scene.ledger.effects.intend(run.id, "cut-over", "release:1", intent={}, compensation="restart the last")
    scene.ledger.effects.done(effect, {"url": "http://127.0.0.1:1/"})
    scene.ledger.runs.set_status(run.id, "done")
    shown = phasegate("show", run.id, "--json").json
    assert [("approve", "ana", "as agreed", gate.subject_digest)] == [
        tuple(known[key] for key in ("verdict", "approver", "note", "subject_digest")) for known in shown["decisions"]
    ]
    assert shown["release"] == {"url": "http://127.0.0.1:1/", "current": True}
    assert [(known["key"], known["status"]) for known in shown["effects"]] == [("release:1", "done")]
    scene.ledger.effects.undone(scene.ledger.effects.get("release:1"), {"restored": "none"})
    assert phasegate("show", run.id, "--json").json["release"]["current"] is False
    assert "restart the last" in phasegate("show", run.id).out


@pytest.mark.parametrize("words", [("show", "latest"), ("logs", "latest"), ("runs",), ("status",)], ids=lambda w: w[0])
def test_what_others_wrote_cannot_steer_the_terminal(scene, phasegate, words):
    scene.at_prd_gate()
    answer = phasegate(*words)
    assert answer.code == 0
    assert set() == STEERING & set(answer.out)
    assert "[bold red]Links[/] that ␛]0;owned␇" in answer.out
    assert "expire<U+202E>" in answer.out


def test_the_gate_page_shows_the_artifact_and_what_is_off(scene, phasegate):
    run, gate = scene.at_prd_gate(policy=Policy.model_validate(UNGUARDED))
    page = phasegate("show", run.id).out
    for expected in (
        "GET answers 410␛[1A",
        "&#x202e;[bold]no markup[/]",
        gate.subject["prd"][:19],
        "no sandbox",
        "gate release is off: one person on call",
        f"phasegate approve {run.id} prd",
        "price unknown",
    ):
        assert expected in page


def test_runs_lists_the_newest_first(scene, phasegate):
    assert "There are no runs yet" in phasegate("runs").out
    scene.at_prd_gate()
    scene.accept(title="Second")
    listed = phasegate("runs", "--json").json
    assert [("Second", []), (scene.ledger.runs.list()[1].title, ["prd"])] == [
        (run["title"], run["open_gates"]) for run in listed
    ]
    assert len(phasegate("runs", "--json", "--limit", "1").json) == 1


def test_logs_can_be_cut_to_a_stage(scene, phasegate):
    run, _ = scene.at_prd_gate()
    lines = phasegate("logs", run.id, "--stage", "prd").out.splitlines()
    assert [line[9:].strip() for line in lines] == [
        "▸ prd started",
        "· prd: I read ␛[2Jfirst. → read_file app.py",
        "✓ prd finished: PRD with AC1",
    ]
    assert phasegate("logs", run.id, "--stage", "testing").out == ""
    kinds = [event["kind"] for event in phasegate("logs", run.id, "--json").json]
    assert kinds == [
        "run.accepted",
        "attempt.started",
        "turn.answered",
        "attempt.finished",
        "gate.opened",
        "gate.shown",
    ]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ("done", 0, "Done"),
        ("failed", 1, "phasegate resume"),
        ("rejected", 1, "Rejected: no"),
        ("cancelled", 1, "Cancelled: no"),
        ("rolled-back", 4, "Rolled back: no"),
        ("needs-operator", 5, "Needs an operator: no"),
        ("paused", 5, "phasegate resume"),
    ],
)
def test_watch_ends_with_the_runs_exit_code(scene, phasegate, status, code, said):
    run = scene.accept()
    scene.ledger.runs.set_status(run.id, status, reason={"message": "no", "remedy": "Do it by hand."})
    answer = phasegate("watch", run.id)
    assert code == answer.code
    assert said in answer.out
    assert ("Do it by hand." in answer.out) == (status != "waiting")
    as_json = phasegate("watch", run.id, "--json")
    assert (code, code) == (as_json.code, as_json.json["exit_code"])


def test_watch_at_a_gate_says_what_to_type(scene, phasegate):
    run, _ = scene.at_prd_gate()
    answer = phasegate("watch", "latest")
    assert answer.code == 3
    for verdict in ("approve", "revise", "reject"):
        assert f"phasegate {verdict} {run.id} prd" in answer.out


def test_watch_does_not_wait_for_an_engine_that_is_not_there(scene, phasegate):
    run = scene.accept()
    answer = phasegate("watch", run.id)
    assert answer.code == 2
    assert f"Run {run.id} is safe in the ledger" in answer.err
    assert "phasegate up" in answer.err


def test_audit_says_what_was_checked_and_finds_one_changed_byte(scene, phasegate):
    run, _ = scene.at_prd_gate()
    head = scene.ledger.events(run.id)[-1].hash
    assert head in phasegate("audit", run.id).out
    told = phasegate("audit", run.id, "--json").json
    assert (told["run_id"], told["events"], told["rows"], told["head"]) == (run.id, 6, 8, head)
    with sqlite3.connect(scene.settings.ledger) as database:
        database.execute("UPDATE attempts SET model = 'openai:gpt-5.3-codey'")
    answer = phasegate("audit", run.id)
    assert answer.code == 1
    assert f"{run.id}/prd/1" in answer.err


def test_diff_is_a_patch_that_applies(scene, phasegate, tmp_path):
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=scene.home, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    (scene.home / "app.py").write_text("one\n")
    git("add", "app.py")
    git("commit", "-qm", "Base")
    base = git("rev-parse", "HEAD")
    (scene.home / "app.py").write_text("one\n\x1b[2Jtwo\n")
    git("commit", "-qam", "Change")
    run = scene.accept(base_commit=base)
    assert ((early := phasegate("diff", run.id, "--json")).code, early.json["error"]["code"]) == (2, "not-found")
    attempt = scene.attempt(run, "implementation")
    scene.ledger.attempts.checkpoint(attempt, git("rev-parse", "HEAD"))
    git("reset", "-q", "--hard", base)
    patch = phasegate("diff", run.id).out
    assert "+\x1b[2Jtwo" in patch  # piped, it is the patch itself
    subprocess.run(["git", "apply"], cwd=scene.home, input=patch, text=True, check=True)
    assert base == phasegate("diff", run.id, "--json").json["base_commit"]


def test_status_without_an_engine(scene, phasegate):
    run, _ = scene.at_prd_gate()
    answer = phasegate("status")
    assert answer.code == 0
    assert "No engine is up" in answer.out
    assert f"{run.id}" in answer.out
    machine = phasegate("status", "--json").json
    assert (
        machine["engine"],
        [run["open_gates"] for run in machine["runs"]],
        machine["services"],
    ) == (None, [["prd"]], [])


def measured(at: int, outcome: Outcome, rate: float) -> Measurement:
    moment = datetime(2026, 1, 1, 0, 0, at, tzinfo=UTC)
    return Measurement(at=moment, values={"error_rate": rate}, outcome=outcome)


def test_show_draws_what_was_measured(scene, phasegate, tmp_path):
    run, _ = scene.at_prd_gate()
    taken = (measured(0, "success", 0.0), measured(2, "failure", 0.5))
    metric = MetricReport(
        name="look-ups / é",
        verdict="failed",
        reason="1 failed, 0 tolerated",
        measurements=taken,
        failure_condition="error_rate > 0.05",
    )
    scene.attempt(run, "monitoring", HealthReport(verdict="failed", metrics=(metric,)))
    folder = tmp_path / "new" / "charts"
    answer = phasegate("show", run.id, "--charts", str(folder))
    file = folder / "monitoring-1-1-look-ups.svg"
    assert (answer.code, answer.out) == (0, f"{file}\n")
    assert "decided: failed" in file.read_text()
    assert phasegate("show", run.id, "--charts", str(folder), "--json").json == {"run": run.id, "charts": [str(file)]}


def test_nothing_measured_is_nothing_to_draw(scene, phasegate, tmp_path):
    run, _ = scene.at_prd_gate()
    answer = phasegate("show", run.id, "--charts", str(tmp_path / "charts"))
    assert answer.code == 2
    assert "nothing to draw" in answer.err
    assert not (tmp_path / "charts").exists()
    scene.attempt(run, "monitoring", HealthReport(verdict="inconclusive", metrics=()))
    (tmp_path / "file").touch()
    assert phasegate("show", run.id, "--charts", str(tmp_path / "file")).code == 2


def test_what_follows_an_incident_is_a_ticket_that_can_be_run(scene, phasegate):
    run, _ = scene.at_prd_gate()
    assert phasegate("show", run.id, "--follow-up").code == 2
    told = {"follow_up_title": "Answer: Bo\x1b[2J", "follow_up_body": "`GET /` must not fail.", "summary": "It fails."}
    scene.attempt(run, "monitoring", Incident.model_validate({**told, "release": "r", "health_report": "h"}))
    scene.ledger.runs.set_status(run.id, "rolled-back", reason={"message": "the release broke its level"})
    answer = phasegate("show", run.id, "--follow-up")
    assert answer.code == 0
    ticket = read_ticket("-", stdin=answer.out.encode, environment={})
    assert (ticket.title, ticket.labels) == (told["follow_up_title"], ("follow-up",))
    assert set() == STEERING & set(answer.out)
    assert ticket.body == f"`GET /` must not fail.\n\nDrafted after run {run.id} was taken back."
    assert set(phasegate("show", run.id, "--follow-up", "--json").json) == {"run", "ticket"}
    page = phasegate("show", run.id).out
    assert "It fails." in page
    assert f"phasegate show {run.id} --follow-up > follow-up.md" in page
