"""A run in a repository without tests: its agents pin what is there, code tries that on base, and a person keeps it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.replay.conftest import POLICY, grades, greeter, scripted
from tests.support.greeter import REQUESTER
from tests.support.lifecycle import LifecycleHarness, open_lifecycle

from phasegate.infra.errors import NotAllowed
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.ledger.records import KEEP_TESTS

APP = 'def greet(name):\n    return f"Hello, {name}"\n\n\ndef part(name):\n    return f"Bye, {name}"\n'
pytestmark = pytest.mark.timeout(900)

PINNED = 'from app import part\n\n\ndef test_parting():\n    assert part("Zoe") == "Bye, Zoe"\n'
SEALED = 'from app import greet\n\n\ndef test_otherwise():\n    assert greet("Bo") == "Good day, Bo"\n'
PATH = "tests/test_pinned.py"
EDIT = {"name": "edit_file", "args": {"path": "app.py", "old": "Hello", "new": "Good day"}}
SLIP = {"name": "edit_file", "args": {"path": "app.py", "old": "Bye", "new": "Good day"}}


def pinning(content: str = PINNED, covers: str = "app.py::part") -> dict[str, Any]:
    return {"finish": {"files": [{"path": PATH, "content": content, "covers": [covers]}]}}


def turns(*drafts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    authoring = {"finish": {"files": [{"path": "tests/test_accept.py", "content": SEALED, "criteria": ["AC1"]}]}}
    stages: dict[str, list[dict[str, Any]]] = {
        "prd": [{"finish": {"title": "Greet", "acceptance_criteria": [{"id": "AC1", "statement": "Good day"}]}}],
        "implementation": [{"tools": [EDIT]}, {"finish": {"summary": "another greeting"}}],
        "testing": [authoring],
    }
    return stages | ({"testing.characterization": list(drafts)} if drafts else {})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without a test, whose policy wants base to tell something."""
    changes = {'integrate = "none"': 'integrate = "merge"', 'base = "warn"': 'base = "required"'}
    changes |= {"python3 -m": "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python3 -m", "flaky_reruns = 0": "flaky_reruns = 1"}
    policy = POLICY
    for old, new in changes.items():
        policy = policy.replace(old, new)
    return greeter(tmp_path, {"app.py": APP, "conftest.py": "", "phasegate.toml": policy})


@pytest.fixture
async def house(repository: Path) -> AsyncGenerator[LifecycleHarness]:
    """A machine with that repository."""
    async with open_lifecycle(repository.parent) as house:
        yield house


def sealed_by(house: LifecycleHarness, evidence: Evidence) -> SealedTests:
    return house.ledger.artifacts.get(evidence.sealed_tests, SealedTests)


def git(house: LifecycleHarness, *words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=house.folder / "greeter", check=True, capture_output=True, text=True).stdout


async def test_an_honest_change_passes_guarded_and_a_person_keeps_its_tests(house: LifecycleHarness) -> None:
    scripted(house, turns(pinning(PINNED.replace("Bye", "Ciao")), {"expect": "not accepted.*Bye, Zoe", **pinning()}))
    house.answering, house.refused = False, {"testing.characterization/1": 2}
    stopped = await house.run()
    assert stopped.status == "failed", stopped.reason
    house.refused = {}
    house.ledger.runs.resume(stopped.id, actor="ana")
    run = await house.carry(stopped)
    assert run.status == "waiting", run.reason
    (evidence,) = grades(house, run)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.guards is not None
    assert (evidence.guards.passed_on_base, evidence.guards.kept_files) == (1, (PATH,))
    (file,) = sealed_by(house, evidence).guards
    assert file.content == PINNED
    (gate,) = house.ledger.gates.waiting(run.id)
    with pytest.raises(NotAllowed, match="only an approval can keep"):
        house.ledger.gates.decide(gate.id, "revise", REQUESTER, note="no", tests=(KEEP_TESTS,))
    house.ledger.gates.decide(gate.id, "approve", REQUESTER, tests=(KEEP_TESTS,))

    done = await house.carry(run)

    assert done.status == "done", done.reason
    assert git(house, "rev-parse", "phasegate/main^{tree}").strip() == evidence.guards.kept_tree
    assert PATH in git(house, "ls-tree", "-r", "--name-only", "phasegate/main").split()
    (decision,) = house.ledger.gates.decisions(run.id)
    assert (decision.keeps_tests, decision.named) == (True, ())
    asked = {name: count for name, count in house.turns(run).items() if name.startswith("testing")}
    assert asked == {"testing.authoring/1": 1, "testing.characterization/1": 3}
    rehearsal = await house.again(run, rehearse=True)
    assert (rehearsal.reason or {}).get("code") == "same", rehearsal.reason
    house.ledger.audit(run.id)


async def test_a_change_that_breaks_a_neighbour_is_told_the_test_and_not_its_text(house: LifecycleHarness) -> None:
    stages = turns(pinning())
    stages["implementation"] = [{"tools": [EDIT, SLIP]}, {"finish": {"summary": "two greetings"}}]
    stages["implementation#2"] = [
        {"expect": "A test that passed before.*test_parting", "finish": {"summary": "the same again"}}
    ]
    scripted(house, stages)
    house.answering = False
    run = await house.run()
    assert [evidence.verdict for evidence in grades(house, run)] == ["failed", "failed"]
    assert grades(house, run)[-1].to_accept == ("tests.test_pinned::test_parting",)
    request = house.ledger.exchanges.request(f"{run.id}/implementation/2", 1) or ""
    assert "assert part(" not in request


async def test_drafts_that_never_hold_do_not_end_the_run(house: LifecycleHarness) -> None:
    bad = [pinning(PINNED.replace("Bye", f"Ciao{number}")) for number in range(3)]
    scripted(house, turns(*bad))
    house.answering = False
    run = await house.run()
    (evidence,) = grades(house, run)
    assert evidence.verdict == "unguarded"
    assert evidence.guards is not None
    assert "none that holds on base" in evidence.guards.omitted
    assert "No characterization test was written" in evidence.markdown()


async def test_a_script_without_the_part_goes_on_and_the_page_says_so(
    house: LifecycleHarness, repository: Path
) -> None:
    policy = repository / "phasegate.toml"
    policy.write_text(policy.read_text().replace('base = "required"', 'base = "warn"'))
    git(house, "commit", "-qam", "Warn")
    scripted(house, turns())
    house.answering = False
    run = await house.run()
    (evidence,) = grades(house, run)
    assert evidence.verdict == "unguarded"
    assert "no turns for `testing.characterization`" in evidence.markdown()
    assert not [one for one in house.ledger.attempts.list(run.id) if one.part == "characterization"]
    house.answering = True
    done = await house.carry(run)
    rehearsal = await house.again(done, rehearse=True)
    assert (rehearsal.reason or {}).get("code") == "same", rehearsal.reason
