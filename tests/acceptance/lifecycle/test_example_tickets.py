"""The example tickets that change or remove behaviour ship, end to end, and leave a green branch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.lifecycle.conftest import QUICKLY_GRADED, Project, git
from tests.acceptance.lifecycle.test_obsolete_tests import suite
from tests.machine import Machine
from tests.support.repositories import first_commit

from phasegate.flows.cli.demo.acts import BREACH, CHANGE, FEATURE, REMOVAL
from phasegate.infra.grading.runner.layer_retention import size_of

LARGEST = 1_000_000
"""Bytes that a run's folders may take once it has ended."""
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


def sample(root: Path, folder: Path, grading: str = "") -> Path:
    """The sample service in a repository of its own, with further settings of `[grading]`."""
    top = folder / "shortlinks"
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(root / "examples" / "shortlinks", top, ignore=ignored)
    policy = (top / "phasegate.toml").read_text().replace("p95_ms > 400", "p95_ms > 60000")  # a busy machine's latency
    (top / "phasegate.toml").write_text(policy + QUICKLY_GRADED + grading)
    first_commit(top)
    return top


def begin(machine: Machine, root: Path, top: Path, ticket: str, *approved: str) -> str:
    """Start a ticket with its script; some gates are approved beforehand."""
    examples = root / "examples"
    begun = machine.phasegate(
        *("run", examples / "tickets" / f"{ticket}.md", "--repo", top),
        *("--rehearse", examples / "rehearsals" / f"{ticket}.yaml"),
        *(word for gate in approved for word in ("--approve", gate)),
        *("--detach", "--json"),
    )
    assert begun.code == 0, begun.err + begun.out
    return str(begun.json["id"])


def taken(machine: Machine, run: str) -> int:
    """Bytes of all that is named after a run in the machine's state folder."""
    named = list(machine.home.rglob(f"*{run}*"))
    files = [path.lstat().st_blocks * 512 for path in named if path.is_file()]
    return sum(files) + sum(size_of(path) for path in named if path.is_dir())


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
    top = sample(root, tmp_path)
    run = begin(machine, root, top, case.ticket, "prd", "release")

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


def test_the_demo_s_second_ticket_goes_on_from_what_its_first_one_released(
    machine: Machine, root: Path, tmp_path: Path
) -> None:
    """The first one's sealed tests are among the project's by then; scripts may expect no number of them."""
    top = sample(root, tmp_path, "plain_process = false\n")

    def is_over(shown: dict[str, Any]) -> bool:
        run = str(shown["id"])
        is_cleared = taken(machine, run) < LARGEST and run not in git(top, "worktree", "list")
        return shown["status"] in ("done", "cancelled") and is_cleared

    first = begin(machine, root, top, FEATURE, "prd", "change", "release")
    assert machine.stops(first)["status"] == "done"
    second = begin(machine, root, top, BREACH, "prd")
    shown = machine.stops(second)
    assert (shown["status"], shown["gates"][-1]["gate"]) == ("waiting", "change"), shown
    (evidence,) = [one["artifact"]["content"] for one in shown["stages"] if one["part"] == "grading"]
    assert evidence["verdict"] == "passed"
    assert taken(machine, second) > 0
    assert machine.phasegate("cancel", second).code == 0
    assert machine.until(first, is_over)["status"] == "done"
    assert machine.until(second, is_over)["status"] == "cancelled"
