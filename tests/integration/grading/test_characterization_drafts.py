"""Drafts of characterization tests, tried on base: each fault of one is told; and places where tests are thin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.grading.test_characterization import Bare
from tests.integration.grading.test_grade import FILES, PYTEST, QUICK, policy_with

from phasegate.infra.grading.characterization import CharacterizationFile
from phasegate.infra.grading.guards.draft_check import draft_problems
from phasegate.infra.grading.guards.thin_tests import find_thin_tests
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.policy.model import GradingPolicy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox

PATH = "tests/test_pinned.py"
HEAD = "import uuid\n\nimport pytest\nfrom app import farewell, greet\n\n\n"
HOLDS = f'{HEAD}def test_pinned():\n    assert farewell("Zoe") == "Bye Zoe"\n'

UNSTABLE = """

@pytest.mark.parametrize("number", [uuid.uuid4().hex])
def test_any(number):
    assert farewell(number)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("drafts"))


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def bench(project: Bare, grading: GradingPolicy = QUICK, setup: str = "") -> Bench:
    policy = policy_with(ProjectPolicy(test=PYTEST, setup=setup), grading)
    sandbox = open_sandbox(policy.sandbox, project.state)
    return Bench(project.repository, policy, sandbox, project.state / "drafts" / "scratch", project.steps.append)


async def problems(project: Bare, *files: CharacterizationFile) -> dict[str, list[str]]:
    commit = project.repository.base().commit
    return await draft_problems(bench(project), commit, files, criteria=["AC1"], sealed=["tests/test_accept.py"])


def draft(content: str, covers: str = "app.py::farewell", path: str = PATH) -> CharacterizationFile:
    return CharacterizationFile(path=path, content=content, covers=(covers,))


@dataclass(frozen=True)
class Case:
    name: str
    file: CharacterizationFile
    expected: str


CASES = [
    Case("fails on base", draft(HOLDS.replace("Bye", "Ciao")), "does not pass in every run on the base commit"),
    Case(
        "unstable",
        draft(HOLDS + UNSTABLE),
        "unstable, passed, missing",
    ),
    Case("checks nothing", draft(f"{HEAD}def test_runs():\n    farewell('Zoe')\n"), "passes with each of"),
    Case("cites a criterion", draft(HOLDS.replace("test_pinned", "test_ac1")), "cites criterion AC1"),
    Case("names no code", draft(HOLDS, "app.py::wave"), "functions of app.py: greet, farewell"),
    Case("names no file", draft(HOLDS, "other.py"), "no file of the base commit"),
    Case("no test by its name", draft(HOLDS, path="pinned.py"), "not named as a test"),
    Case("name taken by a sealed file", draft(HOLDS, path="tests/test_accept.py"), "exists already"),
    Case("holds no test", draft(HOLDS.replace("test_pinned", "pinned")), "reports no test of it|without a test"),
    Case("cannot be imported", draft(f"import nothing_here\n{HOLDS}"), "nothing_here"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_fault_of_a_draft_is_told(bare: Bare, case: Case) -> None:
    found = await problems(bare, case.file)
    said = "\n".join(line for own in found.values() for line in own)
    assert any(words in said for words in case.expected.split("|")), found


async def test_a_draft_that_pins_something_is_taken(bare: Bare) -> None:
    other = draft(HOLDS.replace("farewell(", "greet(").replace("Bye", "Hello"), "app.py", "tests/test_more.py")
    assert await problems(bare, draft(HOLDS), other) == {}
    assert any("trying a fault in app.py" in step for step in bare.steps)


async def test_a_fault_is_noticed_in_a_copy_that_the_setup_makes(bare: Bare) -> None:
    installing = bench(bare, setup="mkdir -p lib && cp app.py lib/shipped.py")
    copied = f"import sys\nsys.path.insert(0, 'lib')\n{HOLDS}".replace("from app", "from shipped")
    commit = bare.repository.base().commit
    assert await draft_problems(installing, commit, [draft(copied)], criteria=[], sealed=[]) == {}
    assert any("mutant: setting up" in step for step in bare.steps)


@dataclass(frozen=True)
class Thin:
    text: str
    expected: str
    places: tuple[str, ...] = ()
    below: float = 0.3


TESTED = [
    Thin("Change `farewell`.", "run 0 of 1 lines of the code that the PRD names", ("app.py::farewell",)),
    Thin("Change greet() so that it shouts.", ""),
    Thin("Change app.py.", ""),
    Thin("Change app.py.", "run 1 of 2 lines of the code that the PRD names", ("app.py",), 0.6),
    Thin("Make it better.", "run 1 of 2 lines of the product", ("app.py", "check.sh"), 0.6),
]


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    project = Bare(tmp_path_factory.mktemp("thin"))
    project.commit({"tests/test_app.py": FILES["tests/test_app.py"]})
    return project


@pytest.mark.parametrize("case", TESTED, ids=lambda case: f"{case.text} {case.below}")
async def test_what_base_tests_run_of_the_code_a_prd_names(tested: Bare, case: Thin) -> None:
    grading = GradingPolicy(characterize_below=case.below)
    found = await find_thin_tests(bench(tested, grading), tested.repository.base().commit, case.text)
    assert (found is not None) == bool(case.expected), found
    if found is not None:
        assert case.expected in found.reason
        assert found.places == case.places


async def test_no_test_at_all_is_thin_whatever_is_named(bare: Bare) -> None:
    found = await find_thin_tests(bench(bare), bare.repository.base().commit, "Make it better.")
    assert found is not None
    assert (found.reason, found.places) == ("No test of the project passes on base.", ("app.py", "check.sh"))


async def test_a_language_that_cannot_be_measured_is_judged_by_where_tests_stand(tmp_path: Path) -> None:
    project = Bare(tmp_path)
    project.commit({"lib/mail.rb": "def send_mail(to)\n  to\nend\n", "tests/test_app.py": FILES["tests/test_app.py"]})
    measuring = bench(project, GradingPolicy())
    found = await find_thin_tests(measuring, project.repository.base().commit, "Let `send_mail` wait.")
    assert found is not None
    assert found.reason == "No test of the project stands beside or names lib/mail.rb."
