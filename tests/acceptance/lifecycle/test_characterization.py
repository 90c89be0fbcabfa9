"""A repository without tests, by the installed command: guarded by tests that a person may keep."""

from __future__ import annotations

import pytest
from tests.acceptance.lifecycle.conftest import NEW, OLD, POLICY, SIGNATURE, Project, edit, git, script
from tests.machine import Machine

pytestmark = pytest.mark.timeout(900)

PATH = "tests/test_pinned.py"
PINNED = 'from app import greet\n\n\ndef test_pinned():\n    assert greet("Zoe") == "Hello, Zoe"\n'
STAGES = '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n'
BARE = [SIGNATURE, edit("app.py", OLD, NEW), {"finish": {"summary": "greet takes polite"}}]
STRUCK = "tests/test_needless.py"
PINNING = [
    {"finish": {"files": [{"path": path, "content": PINNED, "covers": ["app.py::greet"]} for path in (PATH, STRUCK)]}}
]


def test_tests_written_for_a_run_guard_it_and_are_kept_by_name(machine: Machine, project: Project) -> None:
    (project.top / "tests" / "test_app.py").unlink()
    policy = (
        POLICY.replace('base = "warn"', 'base = "required"')
        .replace("reruns = 0", "reruns = 1")
        .replace("pytest -q", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q")
    )
    (project.top / "phasegate.toml").write_text(policy + STAGES)
    git(project.top, "commit", "-qam", "No tests")
    played = project.script(script(implementation=BARE, **{"testing.characterization": PINNING}))
    order = ("run", project.ticket, "--repo", project.top, "--rehearse", played)
    result = machine.phasegate(*order, "--approve", "prd", "--detach", "--json")
    assert result.code == 0, result.err + result.out
    run = str(result.json["id"])
    shown = machine.until(run, lambda shown: shown["status"] not in {"accepted", "running"}, seconds=240)
    assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change"), shown
    (grade,) = [attempt["artifact"]["content"] for attempt in shown["stages"] if attempt["part"] == "grading"]
    assert (grade["verdict"], grade["base"]["passed"]) == ("passed", 0)
    assert (grade["guards"]["passed_on_base"], grade["guards"]["kept_files"]) == (2, [PATH, STRUCK])
    assert machine.phasegate("approve", run, "change", "--strike", "tests/none.py").code == 2
    assert machine.phasegate("approve", run, "change", "--strike", STRUCK).code == 0
    shown = machine.until(run, lambda shown: len(shown["gates"]) == 3 and shown["status"] == "waiting", seconds=240)
    grade = [attempt["artifact"]["content"] for attempt in shown["stages"] if attempt["part"] == "grading"][-1]
    assert (grade["guards"]["files"], grade["guards"]["struck"]) == ([PATH], [STRUCK])
    page = machine.phasegate("show", run).out
    assert "Guarded by 1 test written for this run; the project has none here" in page
    assert "touched lines of base" in page
    assert "def test_pinned" not in machine.phasegate("diff", run).out
    assert "+def test_pinned" in machine.phasegate("diff", run, "--keep-tests").out
    assert machine.phasegate("approve", run, "change", "--keep-tests").code == 0
    assert machine.stops(run)["status"] == "done"
    assert "+def test_pinned" in machine.phasegate("diff", run).out
    assert PATH in git(project.top, "ls-tree", "-r", "--name-only", "phasegate/main")
    assert machine.phasegate("audit", run).code == 0
