"""Amendments in real grades: what a PRD makes obsolete leaves the tree, and nothing else does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.grading.test_grade import PYTEST, Criterion
from tests.support.repositories import first_commit

from phasegate.infra.grading.amendments import Amendment
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace

APP = "def greet(name):\n    return f'Hello {name}'\n\n\ndef farewell(name):\n    return f'Bye {name}'\n"
TESTS = """from app import farewell, greet


def test_greet():
    assert greet("Ana") == "Hello Ana"


def test_farewell():
    assert farewell("Ana") == "Bye Ana"


def test_text():
    assert isinstance(greet("x"), str)
"""
FILES = {"app.py": APP, "tests/test_app.py": TESTS, "pytest.ini": "[pytest]\npythonpath = .\n"}
GREETS = Criterion("AC1", "greet says Hullo")
GONE = Criterion("AC1", "farewell is gone")
HULLO = "from app import greet\n\n\ndef test_hullo():\n    assert greet('Bo') == 'Hullo Bo'\n"
NO_FAREWELL = "import app\n\n\ndef test_no_farewell():\n    assert not hasattr(app, 'farewell')\n"
OTHER_GREETING = APP.replace("Hello", "Hullo")
WITHOUT = APP.partition("\n\n\ndef farewell")[0] + "\n"


class Repo:
    def __init__(self, folder: Path) -> None:
        self.top, self.state, self.runs = folder / "project", folder / "state", 0

    def begin(self, files: dict[str, str]) -> None:
        first_commit(self.top, files)
        self.repository = Repository.open(self.top)

    async def grade(
        self,
        changes: dict[str, str],
        sealed: SealedTests,
        criterion: Criterion,
        struck: tuple[str, ...] = (),
        *,
        nothing_new: bool = False,
        ablation: timedelta = timedelta(0),
    ) -> Evidence:
        self.runs += 1
        base = self.repository.base().commit
        workspace = Workspace.create(self.repository, f"r{self.runs}", base, self.state / f"w{self.runs}")
        for name, content in changes.items():
            (workspace.folder / name).write_text(content)
        grading = GradingPolicy(ablation_time=ablation, coverage=False)
        policy = Policy(
            project=ProjectPolicy(test=PYTEST),
            lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
            grading=grading,
        )
        self.change = workspace.collect(base, (), "Change")
        return await grade(
            repository=self.repository,
            change=self.change,
            sealed=sealed,
            criteria=(criterion,),
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, self.state),
            scratch=self.state / f"scratch-{self.runs}" / "grading",
            on_step=lambda _: None,
            struck=struck,
            nothing_new=nothing_new,
        )


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path)
    made.begin(FILES)
    return made


def sealed(content: str, *amends: Amendment) -> SealedTests:
    return SealedTests(
        files=(SealedFile(path="tests/test_accept.py", content=content, criteria=("AC1",)),), amends=amends
    )


GREET = Amendment(test="tests/test_app.py::test_greet", criterion="AC1", replacement="tests/test_accept.py::test_hullo")
FAREWELL = Amendment(test="tests/test_app.py::test_farewell", criterion="AC1")


TWINS = TESTS + "\n\nclass TestMore:\n    def test_greet(self):\n        assert farewell('Bo') == 'Bye Bo'\n"
OTHERS = "from app import farewell\n\n\ndef test_greet():\n    assert farewell('Bo') == 'Bye Bo'\n"


@pytest.mark.parametrize(
    ("files", "broken"),
    [
        ({"tests/test_app.py": TWINS}, "tests.test_app.TestMore::test_greet"),
        ({"billing/tests/test_app.py": OTHERS}, "billing.tests.test_app::test_greet"),
    ],
    ids=["in a class", "in a folder whose name ends alike"],
)
async def test_an_amendment_takes_no_other_test_of_its_name(tmp_path: Path, files: dict[str, str], broken: str) -> None:
    repo = Repo(tmp_path)
    repo.begin({**FILES, **files, "pytest.ini": "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\n"})
    both = OTHER_GREETING.replace("Bye", "So long")
    evidence = await repo.grade({"app.py": both}, sealed(HULLO, GREET), GREETS)
    assert [(one.test, one.status, one.tests) for one in evidence.amended] == [
        (GREET.test, "amended", ("tests.test_app::test_greet",))
    ]
    assert {one.test for one in evidence.regressions} == {broken, "tests.test_app::test_farewell"}
    assert evidence.verdict == "failed"


async def test_what_stops_the_run_is_said(repo: Repo) -> None:
    evidence = await repo.grade({"app.py": WITHOUT}, sealed(NO_FAREWELL), GONE)
    page = evidence.markdown()
    assert evidence.verdict == "failed"
    assert "cannot import name 'farewell'" in page
    assert "cannot import name 'farewell'" in evidence.failing()


async def test_a_change_of_behaviour_passes_once_the_old_test_is_amended(repo: Repo) -> None:
    unamended = await repo.grade({"app.py": OTHER_GREETING}, sealed(HULLO), GREETS)
    assert [one.test for one in unamended.regressions] == ["tests.test_app::test_greet"]
    assert unamended.is_acceptable
    amended = await repo.grade({"app.py": OTHER_GREETING}, sealed(HULLO, GREET), GREETS, ablation=timedelta(minutes=5))
    assert (amended.verdict, amended.regressions) == ("passed", ())
    assert amended.needs_person
    assert [(one.test, one.status) for one in amended.amended] == [(GREET.test, "amended")]
    page = amended.markdown()
    assert "Hello Ana" in page
    assert "Hullo Bo" in page
    assert "Hello Ana" not in amended.failing()
    released = repo.repository.read_file(amended.tree, "tests/test_app.py")
    assert released is not None
    assert b"test_greet" not in released
    assert b"test_farewell" in released
    assert repo.repository.read_file(amended.tree, "tests/test_accept.py") == HULLO.encode()


async def test_a_removed_feature_takes_its_tests_along_and_nothing_else(repo: Repo) -> None:
    evidence = await repo.grade({"app.py": WITHOUT}, sealed(NO_FAREWELL, FAREWELL), GONE)
    assert (evidence.verdict, evidence.regressions) == ("passed", ())
    assert [one.status for one in evidence.amended] == ["amended"]
    broken = WITHOUT.replace("Hello", "Hi")
    other = await repo.grade({"app.py": broken}, sealed(NO_FAREWELL, FAREWELL), GONE)
    assert (other.verdict, [one.test for one in other.regressions]) == ("failed", ["tests.test_app::test_greet"])


async def test_an_amendment_of_a_test_that_still_passes_excuses_nothing(repo: Repo) -> None:
    text = with_values(GREET, test="tests/test_app.py::test_text")
    evidence = await repo.grade({"app.py": OTHER_GREETING}, sealed(HULLO, text), GREETS)
    assert evidence.verdict == "failed"
    assert [one.status for one in evidence.amended] == ["not-needed"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (HULLO + "\n\ndef test_idle():\n    assert greet('x')\n", "passes on the base commit"),
        (HULLO + "\n\ndef test_idle():\n    assert greet('x') == 3\n", "does not pass on the change"),
    ],
)
async def test_a_replacement_that_proves_nothing_is_refused(repo: Repo, content: str, why: str) -> None:
    idle = with_values(GREET, replacement="tests/test_accept.py::test_idle")
    evidence = await repo.grade({"app.py": OTHER_GREETING}, sealed(content, idle), GREETS)
    assert evidence.verdict == "failed"
    assert [one.status for one in evidence.amended] == ["refused"]
    assert why in evidence.amended[0].why
    assert "tests.test_app::test_greet" in [one.test for one in evidence.regressions]


async def test_a_struck_amendment_counts_as_ever(repo: Repo) -> None:
    evidence = await repo.grade({"app.py": OTHER_GREETING}, sealed(HULLO, GREET), GREETS, struck=(GREET.test,))
    assert (evidence.verdict, [one.status for one in evidence.amended]) == ("failed", ["struck"])
    assert evidence.to_accept == ("tests.test_app::test_greet",)


async def test_a_snapshot_is_compared_by_eye(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    check = "from pathlib import Path\n\nfrom app import greet\n\n\ndef test_page():\n    assert greet('Ana') == "
    check += "Path('tests/__snapshots__/page.txt').read_text()\n"
    files = {**FILES, "tests/test_app.py": check, "tests/__snapshots__/page.txt": "Hello Ana"}
    repo.begin({**files, "tests/test_plain.py": "def test_plain():\n    assert True\n"})
    snapshot = Amendment(test="tests/__snapshots__/page.txt", criterion="AC1")
    changes = {"app.py": OTHER_GREETING, "tests/__snapshots__/page.txt": "Hullo Ana"}
    evidence = await repo.grade(changes, sealed(HULLO, snapshot), GREETS)
    assert evidence.verdict == "passed"
    assert evidence.needs_person
    assert [(one.status, one.before, one.after) for one in evidence.amended] == [("by-eye", "Hello Ana", "Hullo Ana")]
    assert evidence.amended[0].tests == ("tests.test_app::test_page",)


async def test_a_ticket_without_new_behaviour_is_graded_by_what_passed_before(repo: Repo) -> None:
    nothing = SealedTests(files=())
    tidied = APP.replace("f'Hello {name}'", "'Hello ' + name")
    evidence = await repo.grade({"app.py": tidied}, nothing, GREETS, nothing_new=True)
    assert (evidence.verdict, evidence.needs_person) == ("passed", False)
    assert "Nothing new was to be proven" in evidence.markdown()
    unasked = await repo.grade({"app.py": tidied}, nothing, GREETS)
    assert (unasked.verdict, unasked.needs_person) == ("unproven", True)
    broken = await repo.grade({"app.py": OTHER_GREETING}, nothing, GREETS, nothing_new=True)
    assert (broken.verdict, [one.test for one in broken.regressions]) == ("failed", ["tests.test_app::test_greet"])


def with_values(amendment: Amendment, **values: str) -> Amendment:
    return amendment.model_copy(update=values)


CASES = """import pytest

from app import greet


@pytest.mark.parametrize("name", ["Ana", "Bo", "Cy"])
def test_names(name):
    assert greet(name) == "Hello " + name
"""
ONLY_BO = "def greet(name):\n    return f'Hullo {name}' if name == 'Bo' else f'Hello {name}'\n"


@pytest.mark.parametrize(
    ("app", "verdict", "regressions"),
    [(ONLY_BO, "passed", []), (ONLY_BO.replace("Hello", "Hi"), "failed", ["Ana", "Cy"])],
    ids=["one case", "other cases, too"],
)
async def test_a_single_case_is_amended_and_the_others_must_still_pass(
    tmp_path: Path, app: str, verdict: str, regressions: list[str]
) -> None:
    repo = Repo(tmp_path)
    repo.begin(
        {"app.py": ONLY_BO.replace("Hullo", "Hello"), "tests/test_app.py": CASES, "pytest.ini": FILES["pytest.ini"]}
    )
    case = Amendment(test="tests/test_app.py::test_names[Bo]", criterion="AC1", replacement=GREET.replacement)
    evidence = await repo.grade({"app.py": app}, sealed(HULLO, case), GREETS)
    broken = [f"tests.test_app::test_names[{name}]" for name in regressions]
    assert (evidence.verdict, [one.test for one in evidence.regressions]) == (verdict, broken)
    assert [(one.status, one.tests) for one in evidence.amended] == [("amended", ("tests.test_app::test_names[Bo]",))]
    released = repo.repository.read_file(evidence.tree, "tests/test_app.py")
    assert released == CASES.replace('"Bo", ', "").encode()


async def test_an_amended_test_whose_ids_change_from_run_to_run_is_no_regression(tmp_path: Path) -> None:
    unstable = CASES.replace("import pytest\n", "import pytest\nimport time\n").replace(
        '["Ana", "Bo", "Cy"]', '[f"A{time.time_ns()}"]'
    )
    repo = Repo(tmp_path)
    repo.begin({**FILES, "tests/test_names.py": unstable})
    amends = (GREET, with_values(GREET, test="tests/test_names.py::test_names"))
    evidence = await repo.grade({"app.py": OTHER_GREETING}, sealed(HULLO, *amends), GREETS)
    assert (evidence.verdict, evidence.regressions) == ("passed", ())
    assert [one.status for one in evidence.amended] == ["amended", "amended"]
