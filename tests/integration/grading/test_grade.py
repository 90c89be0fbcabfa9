from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.repositories import first_commit

from phasegate.infra.errors import SetupFailed
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import ChangeSet, Repository, Workspace

PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1 pytest -q --junitxml={junit}"
FILES = {
    "app.py": "def greet(name):\n    return f'Hello {name}'\n",
    "tests/test_app.py": (
        "from app import greet\n\n\ndef test_greet():\n    assert greet('Ana') == 'Hello Ana'\n\n\n"
        "def test_str():\n    assert isinstance(greet('x'), str)\n"
    ),
    "pyproject.toml": '[project]\nname = "app"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
    "check.sh": "exit 1\n",
}
SHOUT = FILES["app.py"] + "\n\ndef shout(name):\n    return greet(name).upper()\n"


@dataclass(frozen=True)
class Criterion:
    id: str
    statement: str


SHOUTS = Criterion("AC1", "shout greets in capitals")
GREETS = Criterion("AC2", "greet still greets")
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_shout.py",
            content="def test_capitals():\n    import app\n\n    assert app.shout('Ana') == 'HELLO ANA'\n",
            criteria=("AC1",),
        ),
    )
)
IMPORTING = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_shout.py",
            content="from app import shout\n\n\ndef test_capitals():\n    assert shout('Ana') == 'HELLO ANA'\n",
            criteria=("AC1",),
        ),
    )
)


QUICK = GradingPolicy(ablation_time=timedelta(0), coverage=False, plain_process=False)


def policy_with(project: ProjectPolicy, grading: GradingPolicy = QUICK) -> Policy:
    stages = LifecyclePolicy(stages=("prd", "implementation", "testing"))
    return Policy(project=project, lifecycle=stages, grading=grading)


class Project:
    """A person's small Python project, and grading on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        first_commit(self.folder, FILES)
        self.repository = Repository.open(self.folder)
        self.state = folder / "state"
        self.steps: list[str] = []
        self.on_step: Callable[[str], None] = self.steps.append
        self.runs = 0

    async def grade(
        self,
        changes: dict[str, str | None],
        sealed: SealedTests = SEALED,
        criteria: tuple[Criterion, ...] = (SHOUTS,),
        project: ProjectPolicy | None = None,
        protected: tuple[str, ...] = (),
        grading: GradingPolicy = QUICK,
        nothing_new: bool = False,
        struck: tuple[str, ...] = (),
    ) -> Evidence:
        self.runs += 1
        self.steps.clear()
        base = self.repository.base().commit
        workspace = Workspace.create(self.repository, f"r{self.runs}", base, self.state / f"w{self.runs}")
        for name, content in changes.items():
            if content is None:
                (workspace.folder / name).unlink()
            else:
                (workspace.folder / name).write_text(content)
        policy = policy_with(project or ProjectPolicy(test=PYTEST), grading)
        self.change = workspace.collect(base, protected, "Shout")
        return await self.grade_change(self.change, sealed, criteria, policy, nothing_new=nothing_new, struck=struck)

    async def grade_change(
        self,
        change: ChangeSet,
        sealed: SealedTests,
        criteria: tuple[Criterion, ...],
        policy: Policy,
        *,
        nothing_new: bool = False,
        struck: tuple[str, ...] = (),
    ) -> Evidence:
        return await grade(
            repository=self.repository,
            change=change,
            sealed=sealed,
            criteria=criteria,
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, self.state),
            scratch=self.state / "grading" / f"scratch{self.runs}",
            on_step=self.on_step,
            nothing_new=nothing_new,
            struck=struck,
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("grading"))


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def codes(evidence: Evidence) -> set[str]:
    return {finding.code for finding in evidence.findings}


async def test_an_honest_change_passes(project: Project) -> None:
    evidence = await project.grade({"app.py": SHOUT})
    assert evidence.verdict == "passed", evidence.markdown()
    assert [criterion.status for criterion in evidence.criteria] == ["passed"]
    assert evidence.criteria[0].tests == ("tests.test_accept_shout::test_capitals",)
    assert evidence.findings == ()
    assert evidence.counts.model_dump() == {
        "project_passed_on_base": 2,
        "project_still_passing": 2,
        "sealed": 1,
        "sealed_passed": 1,
    }
    assert Evidence.from_canonical(evidence.canonical()) == evidence
    assert evidence.failing() == ""
    assert not any((project.state / "grading").glob("scratch*/*"))


async def test_equal_grades_have_equal_digests_and_base_is_run_once(project: Project) -> None:
    first = await project.grade({"app.py": SHOUT.replace("upper", "lower")})
    project.steps.clear()
    policy = policy_with(ProjectPolicy(test=PYTEST))
    assert (await project.grade_change(project.change, SEALED, (SHOUTS,), policy)).digest == first.digest
    assert project.steps == ["change-with-sealed-tests: running the tests"]


async def test_a_wrong_change_fails_and_the_implementer_learns_why_but_not_how(project: Project) -> None:
    evidence = await project.grade({"app.py": SHOUT.replace("upper", "lower")})
    assert evidence.verdict == "failed"
    assert evidence.criteria[0].status == "failed"
    told = evidence.failing()
    assert "AC1" in told
    assert "shout greets in capitals" in told
    assert "hello ana" in told
    assert "app.shout('Ana') ==" not in told
    assert "import app" not in told


async def test_sealed_tests_that_cannot_be_imported_on_base_hide_no_test_of_the_project(project: Project) -> None:
    evidence = await project.grade({"app.py": SHOUT}, IMPORTING)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.counts.project_passed_on_base == 2
    assert "base-with-canaries: running the tests" in project.steps


async def test_a_regression_is_caught(project: Project) -> None:
    evidence = await project.grade(
        {"app.py": SHOUT.replace("Hello", "Hello, Ms.").replace("greet(name).upper()", "'HELLO ANA'")}
    )
    assert evidence.verdict == "failed"
    assert [regression.test for regression in evidence.regressions] == ["tests.test_app::test_greet"]
    assert "tests.test_app::test_greet" in evidence.failing()


async def test_an_edited_test_is_put_back_and_reported(project: Project) -> None:
    broken = SHOUT.replace("Hello", "Hi").replace("greet(name).upper()", "'HELLO ANA'")
    evidence = await project.grade(
        {"app.py": broken, "tests/test_app.py": FILES["tests/test_app.py"].replace("Hello", "Hi")}
    )
    assert evidence.verdict == "failed"
    assert [regression.test for regression in evidence.regressions] == ["tests.test_app::test_greet"]
    assert [(finding.code, finding.path) for finding in evidence.findings] == [
        ("test-file-touched", "tests/test_app.py")
    ]


async def test_a_deleted_test_is_put_back(project: Project) -> None:
    broken = SHOUT.replace("Hello", "Hi").replace("greet(name).upper()", "'HELLO ANA'")
    evidence = await project.grade({"app.py": broken, "tests/test_app.py": None})
    assert evidence.verdict == "failed"
    assert "deleted by the change" in evidence.findings[0].message


async def test_a_conftest_that_makes_everything_pass_is_taken_out(project: Project) -> None:
    cheat = (
        "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    outcome = yield\n    outcome.get_result().outcome = 'passed'\n"
    )
    evidence = await project.grade({"app.py": FILES["app.py"] + "# done\n", "conftest.py": cheat})
    assert evidence.verdict == "failed"
    assert evidence.criteria[0].status == "failed"
    assert codes(evidence) == {"test-file-added"}


async def test_changed_test_settings_are_put_back_and_reported(project: Project) -> None:
    settings = FILES["pyproject.toml"] + 'addopts = "--deselect tests/test_app.py::test_greet"\n'
    evidence = await project.grade({"app.py": SHOUT, "pyproject.toml": settings})
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.counts.project_still_passing == 2
    assert codes(evidence) == {"test-settings-changed"}


async def test_code_that_looks_for_the_runner_and_protected_paths_are_reported(project: Project) -> None:
    sniffing = "import sys\n" + SHOUT + "\nTESTED = 'pytest' in sys.modules\n"
    evidence = await project.grade({"app.py": sniffing, "check.sh": "exit 0\n"}, protected=("check.sh",))
    assert evidence.verdict == "passed"
    assert {(finding.code, finding.path) for finding in evidence.findings} == {
        ("test-runner-sniffed", "app.py"),
        ("protected-path", "check.sh"),
    }


async def test_a_criterion_that_held_before_is_vacuous(project: Project) -> None:
    vacuous = SealedFile(
        path="tests/test_accept_greet.py",
        content="from app import greet\n\n\ndef test_greets():\n    assert 'Ana' in greet('Ana')\n",
        criteria=("AC2",),
    )
    sealed = SealedTests(files=(*SEALED.files, vacuous))
    evidence = await project.grade({"app.py": SHOUT}, sealed, (SHOUTS, GREETS, Criterion("AC3", "Nobody tests this")))
    assert evidence.verdict == "unproven"
    assert [criterion.status for criterion in evidence.criteria] == ["passed", "vacuous", "untested"]
    assert codes(evidence) == {"vacuous-criterion", "untested-criterion"}


async def test_a_sealed_file_without_a_test_fails_its_criterion(project: Project) -> None:
    sealed = SealedTests(files=(SealedFile(path="tests/test_accept_shout.py", content="x = 1\n", criteria=("AC1",)),))
    evidence = await project.grade({"app.py": SHOUT}, sealed)
    assert evidence.verdict == "failed"
    assert evidence.criteria[0].message == "tests/test_accept_shout.py yields no test"


async def test_a_sealed_file_may_take_the_place_of_a_test_of_the_project(project: Project) -> None:
    sealed = SealedTests(
        files=(SealedFile(path="tests/test_app.py", content=IMPORTING.files[0].content, criteria=("AC1",)),)
    )
    evidence = await project.grade({"app.py": SHOUT}, sealed)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.counts.project_still_passing == 2


async def test_tests_that_hang_fail_in_time(project: Project) -> None:
    policy = ProjectPolicy(test=PYTEST, test_timeout=timedelta(seconds=4))
    evidence = await project.grade({"app.py": "import time\n\ntime.sleep(600)\n" + SHOUT}, project=policy)
    assert evidence.verdict == "failed"
    assert "tests-timed-out" in codes(evidence)
    assert "tests-timed-out" in evidence.failing()


async def test_a_command_that_writes_no_report_fails(project: Project) -> None:
    evidence = await project.grade({"app.py": SHOUT}, project=ProjectPolicy(test="echo did nothing {junit}"))
    assert evidence.verdict == "failed"
    assert codes(evidence) >= {"no-junit-report"}
    assert "did nothing" in evidence.criteria[0].message


async def test_a_report_with_a_document_type_fails(project: Project) -> None:
    command = "echo '<!DOCTYPE x><testsuite/>' > {junit}"
    evidence = await project.grade({"app.py": SHOUT}, project=ProjectPolicy(test=command))
    assert evidence.verdict == "failed"
    assert codes(evidence) >= {"junit-unreadable"}


async def test_a_script_that_runs_the_tests_is_the_base_commit_s(project: Project) -> None:
    command = f"sh check.sh || {PYTEST}"
    evidence = await project.grade({"app.py": SHOUT, "check.sh": "exit 0\n"}, project=ProjectPolicy(test=command))
    assert evidence.verdict == "passed", evidence.markdown()
    assert codes(evidence) == {"test-file-touched"}


async def test_a_setup_that_fails_on_base_is_nobody_s_change_s_fault(project: Project) -> None:
    with pytest.raises(SetupFailed, match="no such tool"):
        await project.grade({"app.py": SHOUT}, project=ProjectPolicy(test=PYTEST, setup="echo no such tool; exit 1"))


async def test_a_setup_that_fails_on_the_change_fails_it(project: Project) -> None:
    policy = ProjectPolicy(test=PYTEST, setup="python3 -c 'import app'")
    evidence = await project.grade({"app.py": "import nothing_like_it\n"}, project=policy)
    assert evidence.verdict == "failed"
    assert "setup-failed" in codes(evidence)
    assert "nothing_like_it" in evidence.failing()


async def test_a_setup_cannot_rewrite_the_tests(project: Project) -> None:
    setup = "python3 -c 'import app'"
    tests = "def test_greet(): pass\\ndef test_str(): pass"
    sneak = f"import pathlib\n\npathlib.Path('tests/test_app.py').write_text('{tests}')\n"
    broken = SHOUT.replace("Hello", "Hi").replace("greet(name).upper()", "'HELLO ANA'")
    evidence = await project.grade({"app.py": sneak + broken}, project=ProjectPolicy(test=PYTEST, setup=setup))
    assert [regression.test for regression in evidence.regressions] == ["tests.test_app::test_greet"]


async def test_a_cancelled_grade_leaves_nothing(project: Project) -> None:
    policy = ProjectPolicy(test="sleep 441 # {junit}")
    grading = asyncio.create_task(project.grade({"app.py": SHOUT}, project=policy))
    while not any("running" in step for step in project.steps):
        await asyncio.sleep(0.01)
        assert not grading.done()
    grading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grading
    assert not any((project.state / "grading").glob("scratch*/*"))


async def test_sealed_tests_that_the_command_never_runs_say_nothing_of_a_change(project: Project) -> None:
    only = PYTEST.replace("pytest -q", "pytest -q tests/test_app.py")
    assert only != PYTEST
    evidence = await project.grade({"app.py": SHOUT}, project=ProjectPolicy(test=only))
    assert (evidence.verdict, evidence.criteria[0].status) == ("unproven", "untested"), evidence.markdown()
    assert "is not run by the test command" in evidence.markdown()
