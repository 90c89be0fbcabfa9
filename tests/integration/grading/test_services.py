"""Grading a project whose tests need a database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.repositories import first_commit

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace

PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1 pytest -q --junitxml={junit}"
FILES = {
    "visits.py": (
        "import os\nimport psycopg\n\n\ndef connect():\n"
        "    return psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n\n\n"
        "def visit(db):\n    db.execute('create table if not exists visit ()')\n"
        "    db.execute('insert into visit default values')\n"
    ),
    "tests/test_visits.py": (
        "import visits\n\n\ndef test_visit():\n    with visits.connect() as db:\n        visits.visit(db)\n"
        "        assert db.execute('select count(*) from visit').fetchone() == (1,)\n"
        "        db.execute('drop table visit')\n"
    ),
    "pyproject.toml": '[project]\nname = "visits"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
}
COUNT = "\n\ndef count(db):\n    return db.execute('select count(*) from visit').fetchone()[0]\n"
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_count.py",
            content=(
                "import visits\n\n\ndef test_count():\n    with visits.connect() as db:\n        visits.visit(db)\n"
                "        assert visits.count(db) == 1\n        db.execute('drop table visit')\n"
            ),
            criteria=("AC1",),
        ),
    )
)
DATABASE = ServicePolicy(name="db", kind="postgres")
BROKEN = ServicePolicy(name="queue", kind="command", start="echo the queue is full >&2; exit 4; : {port}")


@dataclass(frozen=True)
class Criterion:
    id: str
    statement: str


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "project"
    first_commit(folder, FILES)
    return Repository.open(folder)


async def graded(repository: Repository, state: Path, project: ProjectPolicy) -> Evidence:
    base = repository.base().commit
    workspace = Workspace.create(repository, f"r{state.name}", base, state / "work")
    (workspace.folder / "visits.py").write_text(FILES["visits.py"] + COUNT)
    policy = Policy(
        project=project,
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        grading=GradingPolicy(ablation_time=timedelta(0), coverage=False),
    )
    return await grade(
        repository=repository,
        change=workspace.collect(base, (), "Count"),
        sealed=SEALED,
        criteria=[Criterion("AC1", "count counts the visits")],
        policy=policy,
        sandbox=open_sandbox(policy.sandbox, state),
        scratch=state / "grading" / "scratch",
        on_step=lambda _: None,
    )


async def test_a_database_lets_the_tests_pass_and_two_grades_do_not_meet(
    repository: Repository, tmp_path: Path
) -> None:
    project = ProjectPolicy(test=PYTEST, services=(DATABASE,))
    both = await asyncio.gather(*(graded(repository, tmp_path / name, project) for name in ("one", "two")))
    for evidence in both:
        assert (evidence.verdict, evidence.counts.project_passed_on_base) == ("passed", 1), evidence.markdown()


async def test_without_the_database_nothing_passes(repository: Repository, tmp_path: Path) -> None:
    evidence = await graded(repository, tmp_path / "one", ProjectPolicy(test=PYTEST))
    assert (evidence.verdict, evidence.counts.project_passed_on_base) == ("failed", 0)


async def test_a_service_that_does_not_come_up_is_nobody_s_change_s_fault(
    repository: Repository, tmp_path: Path
) -> None:
    project = ProjectPolicy(test=PYTEST, services=(BROKEN,))
    with pytest.raises(ServiceFailed, match="the queue is full"):
        await graded(repository, tmp_path / "one", project)


async def test_a_service_that_comes_up_on_base_alone_is_not_charged_to_the_change(
    repository: Repository, tmp_path: Path
) -> None:
    """Mutation tried: `_Trier.run` takes the run as it is: three attempts are paid for a fault of the machine."""
    start = "grep -q count {checkout}/visits.py && exit 4; exec python3 -m http.server {port} --bind 127.0.0.1"
    project = ProjectPolicy(test=PYTEST, services=(DATABASE, BROKEN.model_copy(update={"start": start})))
    with pytest.raises(ServiceFailed, match="exit code 4"):
        await graded(repository, tmp_path / "one", project)
