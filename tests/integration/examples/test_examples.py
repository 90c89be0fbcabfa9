"""The sample service and its rehearsals do what the demo tells: no orchestrator, real tests, a real service."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest

from phasegate.agents.deployment import ReleasePlanDraft
from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.monitoring import IncidentDraft
from phasegate.agents.prd import PrdDraft
from phasegate.agents.rehearsal.script import Script
from phasegate.agents.rehearsal.script_file import load_script
from phasegate.agents.stage import Draft
from phasegate.agents.testing import AmendmentsDraft, CharacterizationDraft, TestsDraft
from phasegate.agents.tools.files import EditFile, WriteFile, edit_file, write_file
from phasegate.agents.tools.folder import Folder
from phasegate.infra.metrics.analysis.clock import RealClock
from phasegate.infra.metrics.analysis.measure import measure
from phasegate.infra.metrics.report import HealthReport
from phasegate.infra.metrics.sources.probe import Probe
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.model import Policy

pytestmark = pytest.mark.timeout(600)

DRAFTS: dict[str, type[Draft]] = {
    "prd": PrdDraft,
    "implementation": ChangeDraft,
    "testing": TestsDraft,
    "testing.amending": AmendmentsDraft,
    "testing.characterization": CharacterizationDraft,
    "deployment": ReleasePlanDraft,
    "monitoring": IncidentDraft,
}
CRITERIA = {1: {"AC1", "AC2", "AC3", "AC4"}, 2: {"AC1", "AC2", "AC3"}, 3: {"AC1", "AC2"}, 4: {"AC1"}}


@dataclass(frozen=True)
class Example:
    """The sample service in a scratch folder, and what the two tickets' agents do to it."""

    folder: Path
    scripts: dict[int, Script]

    def implement(self, ticket: int, attempt: int) -> None:
        folder = Folder(self.folder)
        for turn in self.scripts[ticket].turns("implementation", attempt):
            for call in turn.calls():
                if call.name == "edit_file":
                    edit_file(folder, EditFile.model_validate(call.args))
                elif call.name == "write_file":
                    write_file(folder, WriteFile.model_validate(call.args))

    def failing_criteria(self, ticket: int) -> set[str]:
        """Run the ticket's sealed tests in a copy, and say whose do not pass."""
        sealed = TestsDraft.model_validate(self.scripts[ticket].turns("testing", 1)[-1].finish)
        graded = self.folder.with_name("graded")
        shutil.copytree(self.folder, graded)
        for file in sealed.files:
            (graded / file.path).parent.mkdir(parents=True, exist_ok=True)
            (graded / file.path).write_text(file.content)
        failed = _failed_files(graded)
        shutil.rmtree(graded)
        return {
            criterion
            for file in sealed.files
            for criterion in file.criteria
            if file.path.removesuffix(".py").replace("/", ".") in failed
        }

    def own_tests_pass(self) -> bool:
        return _failed_files(self.folder) == set()


def _failed_files(folder: Path) -> set[str]:
    return _failed(folder, "classname")


def _failed(folder: Path, attribute: str) -> set[str]:
    """An attribute of each test that does not pass."""
    report = folder.with_name("junit.xml")
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert finished.returncode in {0, 1}, finished.stdout + finished.stderr
    cases = ET.parse(report).getroot().iter("testcase")
    return {
        case.attrib[attribute] for case in cases if case.find("failure") is not None or case.find("error") is not None
    }


@pytest.fixture(scope="module")
def scripts(root: Path) -> dict[int, Script]:
    return {int(path.name[0]): load_script(path) for path in (root / "examples" / "rehearsals").glob("*.yaml")}


@pytest.fixture
def example(root: Path, tmp_path: Path, scripts: dict[int, Script]) -> Example:
    folder = tmp_path / "shortlinks"
    shutil.copytree(
        root / "examples" / "shortlinks", folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )
    return Example(folder, scripts)


@pytest.fixture
def policy(example: Example) -> Policy:
    return load_policy((example.folder / "phasegate.toml").read_bytes(), source="phasegate.toml")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(example: Example, policy: Policy, port: int) -> Iterator[str]:
    command = policy.deploy.start.format(port=port).split()
    with subprocess.Popen([sys.executable, *command[1:]], cwd=example.folder, stderr=subprocess.DEVNULL) as service:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
                client.get(f"http://127.0.0.1:{port}{policy.deploy.health}").raise_for_status()
            yield f"http://127.0.0.1:{port}"
        finally:
            service.terminate()


async def health(policy: Policy, url: str) -> HealthReport:
    return await measure(
        policy.monitor.metrics, lambda metric: Probe(metric, url), RealClock(), lambda _name, _measurement: None
    )


@pytest.mark.parametrize("ticket", CRITERIA)
def test_every_finish_is_what_its_stage_hands_in(scripts: dict[int, Script], ticket: int) -> None:
    for stage, turns in scripts[ticket].stages.items():
        assert turns[-1].finish is not None, stage
        DRAFTS[stage.partition("#")[0]].model_validate(turns[-1].finish)


@pytest.mark.parametrize("ticket", CRITERIA)
def test_the_sealed_tests_cover_every_criterion_of_the_prd(scripts: dict[int, Script], ticket: int) -> None:
    prd = PrdDraft.model_validate(scripts[ticket].turns("prd", 1)[-1].finish)
    sealed = TestsDraft.model_validate(scripts[ticket].turns("testing", 1)[-1].finish)
    assert {criterion.id for criterion in prd.acceptance_criteria} == CRITERIA[ticket]
    assert {criterion for file in sealed.files for criterion in file.criteria} == CRITERIA[ticket]


def test_the_first_attempt_at_ticket_1_misses_one_criterion_and_the_second_none(example: Example) -> None:
    assert example.own_tests_pass()
    assert example.failing_criteria(1) == CRITERIA[1]

    example.implement(1, attempt=1)
    assert example.own_tests_pass()
    assert example.failing_criteria(1) == {"AC3"}

    example.implement(1, attempt=2)
    assert example.own_tests_pass()
    assert example.failing_criteria(1) == set()


def test_ticket_2_passes_its_tests(example: Example) -> None:
    example.implement(1, attempt=1)
    example.implement(1, attempt=2)
    assert example.failing_criteria(2) == CRITERIA[2]

    example.implement(2, attempt=1)
    assert example.own_tests_pass()
    assert example.failing_criteria(2) == set()


@pytest.mark.parametrize(
    ("ticket", "obsolete"),
    [
        (3, {"test_following_a_link_redirects_and_counts", "test_a_link_made_over_http_redirects"}),
        (4, {"test_a_link_gets_a_code_of_its_own"}),
    ],
)
def test_tickets_3_and_4_break_just_the_tests_that_they_make_obsolete(
    example: Example, ticket: int, obsolete: set[str]
) -> None:
    assert example.failing_criteria(ticket) == CRITERIA[ticket]

    example.implement(ticket, attempt=1)
    assert example.failing_criteria(ticket) == set()
    assert _failed(example.folder, "name") == obsolete


async def test_ticket_1_keeps_the_service_level_and_ticket_2_breaks_it(
    example: Example, policy: Policy, free_port: int
) -> None:
    example.implement(1, attempt=1)
    example.implement(1, attempt=2)
    with served(example, policy, free_port) as url:
        assert (await health(policy, url)).verdict == "passed"

    example.implement(2, attempt=1)
    with served(example, policy, free_port) as url:
        assert (await health(policy, url)).verdict == "failed"
