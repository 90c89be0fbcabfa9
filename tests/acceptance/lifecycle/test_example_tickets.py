"""The example tickets that change or remove behaviour ship, end to end, and leave a green branch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.acceptance.lifecycle.conftest import QUICKLY_GRADED, Project, git
from tests.acceptance.lifecycle.test_obsolete_tests import suite
from tests.machine import Machine

from phasegate.flows.cli.demo.acts import CHANGE, REMOVAL

GONE_BY_TICKET_3 = {
    "tests/test_api.py::test_following_a_link_redirects_and_counts": False,
    "tests/test_server.py::test_a_link_made_over_http_redirects": True,
}


@dataclass(frozen=True)
class Case:
    """A ticket, and each test that goes with it: true where the change asked for it."""

    ticket: str
    gone: dict[str, bool]
    left: int


@pytest.mark.parametrize(
    "case",
    [
        Case(CHANGE, GONE_BY_TICKET_3, left=22),
        Case(REMOVAL, {"tests/test_api.py::test_a_link_gets_a_code_of_its_own": False}, left=20),
    ],
    ids=lambda case: case.ticket,
)
def test_it_ships_and_one_screen_says_which_tests_went(
    machine: Machine, root: Path, tmp_path: Path, case: Case
) -> None:
    top, examples = tmp_path / "shortlinks", root / "examples"
    shutil.copytree(examples / "shortlinks", top, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    policy = (top / "phasegate.toml").read_text().replace("p95_ms > 400", "p95_ms > 60000")  # a busy machine's latency
    (top / "phasegate.toml").write_text(policy + QUICKLY_GRADED)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "First")):
        git(top, *words)
    begun = machine.phasegate(
        *("run", examples / "tickets" / f"{case.ticket}.md", "--repo", top),
        *("--rehearse", examples / "rehearsals" / f"{case.ticket}.yaml"),
        *("--approve", "prd", "--approve", "release", "--detach", "--json"),
    )
    assert begun.code == 0, begun.err + begun.out
    run = str(begun.json["id"])

    shown = machine.stops(run)

    assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change"), shown
    (evidence,) = [one["artifact"]["content"] for one in shown["stages"] if one["part"] == "grading"]
    amended = {one["test"]: one["added_after_change"] for one in evidence["amended"] if one["status"] == "amended"}
    assert (evidence["verdict"], amended) == ("passed", case.gone)
    page = machine.phasegate("show", run).out
    assert [test for test in case.gone if f"{test} is obsolete, by AC1" not in " ".join(page.split())] == []
    assert ("Added after the change" in page) == any(case.gone.values())
    assert machine.phasegate("approve", run, "change").code == 0
    assert machine.stops(run)["status"] == "done"
    ran = suite(Project(top, tmp_path), "phasegate/main", tmp_path / "released")
    assert (ran.returncode, f"{case.left} passed" in ran.stdout) == (0, True), ran.stdout
    tests = git(top, "grep", "-h", "def test_", "phasegate/main", "--", "tests/test_*.py")
    assert [test for test in case.gone if f"{test.partition('::')[2]}(" in tests] == []
