"""From a ticket to a running service, as a person with only the command line sees it."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, POLICY, QUICKLY_GRADED, SIGNATURE, Project, edit, git, script
from tests.machine import Machine

MODELS = ("openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:qwen3-coder", "anthropic:claude-opus-4-6")
BREAKS = """    def do_GET(self):
        if "Bo" in self.path:
            return self.send_error(500)
"""
WORST = "SELECT name, max(value) FROM metrics WHERE value_name = 'error_rate' GROUP BY name"
INCIDENT = {
    "summary": "Bo gets a 500",
    "evidence": [
        {"statement": "every request failed", "query": WORST},
        {"statement": "and this is no evidence", "query": "DROP TABLE metrics"},
    ],
    "suspected_hunk": "app.py:14",
    "follow_up_title": "Answer Bo",
    "follow_up_body": "`GET /?name=Bo` must not be answered with 500.",
}


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def start(machine: Machine, project: Project, content: dict[str, Any], *more: str) -> str:
    """Run a ticket up to its first stop and give its id."""
    result = machine.phasegate(
        "run", project.ticket, "--repo", project.top, "--rehearse", project.script(content), "--json", *more
    )
    assert result.code in {0, 3, 4, 5}, result.err + result.out
    run: str = result.json["id"]
    return run


def approve_until_it_ends(machine: Machine, run: str) -> dict[str, Any]:
    shown = machine.stops(run)
    while shown["status"] == "waiting":
        assert machine.phasegate("approve", run).code == 0
        shown = machine.stops(run)
    return shown


@pytest.mark.parametrize(
    "models",
    [
        pytest.param(MODELS, id="over three protocols"),
        *(pytest.param((model,) * 4, id=f"over {model}", marks=pytest.mark.proof) for model in MODELS[:3]),
    ],
)
def test_a_ticket_becomes_a_served_release(machine: Machine, project: Project, models: Sequence[str]) -> None:
    asked = zip(("prd", "implementation", "testing", "deployment"), models, strict=True)
    agents = [f'[agents.{stage}]\nmodel = "{model}"\n' for stage, model in asked]
    (project.top / "phasegate.toml").write_text(POLICY.replace(QUICKLY_GRADED, "") + "".join(agents))
    git(project.top, "commit", "-qam", "Models")
    (project.top / "notes.txt").write_text("mine, not committed")
    before = project.state()
    result = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", project.script(script()))
    assert result.code == 3, result.err + result.out
    run = machine.phasegate("runs", "--json").json[0]["id"]
    assert machine.show(run)["gates"][-1]["gate"] == "prd"

    shown = approve_until_it_ends(machine, run)

    assert shown["status"] == "done", shown
    assert fetch(f"{shown['release']['url']}/?name=Bo") == {"greeting": "Hello, Bo"}
    assert [gate["gate"] for gate in shown["gates"]] == ["prd", "change", "release"]
    assert [(effect["kind"], effect["status"]) for effect in shown["effects"]] == [
        ("merge", "done"),
        ("candidate", "done"),
        ("cut-over", "done"),
    ]
    assert {attempt["stage"] for attempt in shown["stages"]} == {
        "prd",
        "implementation",
        "testing",
        "deployment",
        "monitoring",
    }
    assert all(attempt["artifact"]["digest"].startswith("sha256:") for attempt in shown["stages"])
    assert shown["usage"]["turns"] == 10
    assert project.state() == before
    assert "Good day" in git(project.top, "show", "phasegate/main:app.py")
    assert machine.phasegate("audit", run).code == 0


def test_revise_reaches_the_agents_next_request(machine: Machine, project: Project) -> None:
    revised = [
        {
            "expect": "name the endpoint",
            "finish": {"title": "Again", "acceptance_criteria": [{"id": "AC1", "statement": "better"}]},
        }
    ]
    run = start(machine, project, script(prd_2=revised))
    assert machine.phasegate("revise", run, "--note", "please name the endpoint").code == 0
    shown = machine.until(run, lambda shown: len(shown["gates"]) == 2 and shown["status"] == "waiting")
    assert [(gate["gate"], gate["status"]) for gate in shown["gates"]] == [("prd", "revised"), ("prd", "open")]
    assert [attempt["artifact"]["content"]["title"] for attempt in shown["stages"]] == ["Greet politely", "Again"]


def test_reject_ends_the_run(machine: Machine, project: Project) -> None:
    run = start(machine, project, script())
    assert machine.phasegate("reject", run, "--note", "not now").code == 0
    shown = machine.until(run, lambda shown: shown["status"] == "rejected")
    assert shown["reason"]["note"] == "not now"
    assert machine.phasegate("approve", run).code == 2


def test_a_failing_grade_goes_back_and_the_second_attempt_passes(machine: Machine, project: Project) -> None:
    wrong = [SIGNATURE, edit("app.py", OLD, NEW.replace("Good day", "Good night")), {"finish": {"summary": "wrong"}}]
    right = [
        {**edit("app.py", "Good night", "Good day"), "expect": "AC1"},
        {"finish": {"summary": "right"}},
    ]
    run = start(machine, project, script(implementation=wrong, implementation_2=right), "--approve", "prd")
    shown = machine.stops(run)
    grades = [attempt["artifact"]["content"] for attempt in shown["stages"] if attempt["part"] == "grading"]
    assert [grade["verdict"] for grade in grades] == ["failed", "passed"]
    assert [(one["id"], one["status"]) for one in grades[0]["criteria"]] == [("AC1", "failed")]


def test_an_implementer_that_edits_a_test_to_pass_is_caught(machine: Machine, project: Project) -> None:
    cheat = [
        edit("app.py", "Hello", "Good day"),
        SIGNATURE,
        edit("tests/test_app.py", '"Hello, Ana"', '"Good day, Ana"'),
        {"finish": {"summary": "all tests pass"}},
    ]
    honest = [edit("app.py", '    return f"Good day, {name}"', NEW), {"finish": {"summary": "honest"}}]
    run = start(machine, project, script(implementation=cheat, implementation_2=honest), "--approve", "prd")
    shown = machine.stops(run)
    grades = [attempt["artifact"]["content"] for attempt in shown["stages"] if attempt["part"] == "grading"]
    assert [grade["verdict"] for grade in grades] == ["failed", "passed"]
    assert "tests/test_app.py" in [finding["path"] for finding in grades[0]["findings"]]
    assert grades[0]["regressions"]


def test_a_release_that_breaks_its_level_is_taken_back_and_the_old_one_serves(
    machine: Machine, project: Project
) -> None:
    first = approve_until_it_ends(machine, start(machine, project, script()))
    broken = [
        edit("app.py", "    def do_GET(self):\n", BREAKS),
        edit("app.py", "def greet(name, polite=False):", "def greet(name, polite=False, loud=False):"),
        {"finish": {"summary": "loud"}},
    ]
    sealed = "from app import greet\n\n\ndef test_loud():\n    assert greet('Bo', loud=True)\n"
    second = script(
        implementation=broken,
        testing=[{"finish": {"files": [{"path": "tests/test_loud.py", "content": sealed, "criteria": ["AC1"]}]}}],
        monitoring=[
            {"expect": "cut-over undone", "tools": [{"name": "query", "args": {"sql": WORST}}]},
            {"expect": "errors \\| 1", "finish": INCIDENT},
        ],
    )
    run = start(machine, project, second, "--approve", "prd", "--approve", "change", "--approve", "release")
    shown = machine.stops(run)
    assert shown["status"] == "rolled-back", shown
    assert [effect["status"] for effect in shown["effects"]] == ["undone", "undone", "undone"]
    assert fetch(f"{first['release']['url']}/?name=Bo") == {"greeting": "Hello, Bo"}
    assert git(project.top, "rev-parse", "phasegate/main^{tree}") == git(
        project.top, "rev-parse", f"{first['effects'][0]['result']['commit']}^{{tree}}"
    )
    assert machine.phasegate("audit", run).code == 0
    what_the_incident_says(machine, run)


def what_the_incident_says(machine: Machine, run: str) -> None:
    shown = machine.show(run)
    reading = next(attempt for attempt in shown["stages"] if attempt["part"] == "reading")
    assert reading["artifact"], reading["error"]
    incident = reading["artifact"]["content"]
    assert incident["summary"] == "Bo gets a 500"
    told = [moment["what"] for moment in incident["record"]]
    assert [what for what in told if "errors" in what][:2] == [
        "errors: first measured",
        "errors: first failure: error_rate was 1, so error_rate > 0.05 is true",
    ]
    whole = "\n".join(told)
    assert whole.index("errors: first measured") < whole.index("cut-over undone") < whole.index("candidate undone")
    asked, refused = incident["evidence"]
    assert (asked["statement"], asked["result"].splitlines()[-1]) == ("every request failed", "errors | 1")
    assert "write one SELECT" in refused["result"]
    assert (incident["suspicion"], "self.send_error(500)" in incident["suspected_lines"]) == ("in the change", True)
    page = machine.phasegate("show", run).out
    assert "What is on record" in page
    assert f"phasegate show {run} --follow-up > follow-up.md" in page


def test_rollback_after_completion_undoes_everything_newest_first(machine: Machine, project: Project) -> None:
    shown = approve_until_it_ends(machine, start(machine, project, script()))
    assert shown["status"] == "done"
    assert machine.phasegate("rollback", shown["id"]).code in {0, 4}
    after = machine.until(shown["id"], lambda now: now["status"] == "rolled-back")
    undone = [effect["undone_at"] for effect in after["effects"]]
    assert undone == sorted(undone, reverse=True)
    with pytest.raises(urllib.error.URLError):
        fetch(f"{shown['release']['url']}/healthz")
    assert "polite" not in git(project.top, "show", "phasegate/main:app.py")


def test_no_model_key_stops_before_any_work(machine: Machine, project: Project) -> None:
    before = len(machine.phasegate("runs", "--json").json)
    result = machine.phasegate("run", project.ticket, "--repo", project.top)
    assert result.code == 2
    assert "OPENAI_API_KEY" in result.err
    assert len(machine.phasegate("runs", "--json").json) == before


def test_a_pause_waits_for_the_end_of_the_turn_and_a_cancel_undoes(machine: Machine, project: Project) -> None:
    slow = [
        SIGNATURE,
        {
            "tools": [
                {"name": "run", "args": {"command": "until [ -e go ]; do sleep 0.1; done; echo slept > slept.txt"}}
            ]
        },
        edit("app.py", OLD, NEW),
        {"finish": {"summary": "polite"}},
    ]
    content = project.script(script(implementation=slow))
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", content, "--approve", "prd", "--approve")
    run = machine.phasegate(*order, "change", "--detach", "--json").json["id"]
    machine.until(run, lambda shown: shown["usage"]["turns"] >= 6)
    assert machine.phasegate("pause", run).code == 0
    (machine.home / "workspaces" / run / "work" / "go").touch()
    paused = machine.until(run, lambda shown: shown["status"] == "paused")
    assert next(one for one in paused["stages"] if one["stage"] == "implementation")["usage"]["turns"] == 2
    assert machine.phasegate("resume", run).code == 0
    shown = machine.until(run, lambda shown: shown["status"] == "waiting" and bool(shown["effects"]))
    (change,) = [one["artifact"]["content"] for one in shown["stages"] if one["stage"] == "implementation"]
    assert "slept.txt" in [file["path"] for file in change["files"]]
    assert machine.phasegate("cancel", run).code == 0
    ended = machine.until(run, lambda shown: shown["status"] == "cancelled")
    assert [effect["status"] for effect in ended["effects"]] == ["undone"]
    assert [gate["status"] for gate in ended["gates"]] == ["approved", "approved", "void"]


def test_a_taken_port_is_told_before_anything_starts(machine: Machine, project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        policy = project.top / "phasegate.toml"
        policy.write_text(policy.read_text().replace("[deploy]", f"[deploy]\nport = {port}"))
        git(project.top, "commit", "-qam", "A port of its own")
        content = project.script(script())
        result = machine.phasegate("run", project.ticket, "--repo", project.top, "--rehearse", content)
    assert result.code == 2
    assert f"Port {port} is in use" in result.err
