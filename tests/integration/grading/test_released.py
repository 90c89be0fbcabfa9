"""Release of a change: the tree that was graded, with the change's own tests where these pass too."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.cheats.ground import Chance
from tests.integration.grading.test_grade import PYTEST, QUICK, SEALED, SHOUT, Project, codes

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.policy.model import ProjectPolicy

OLD = "from app import greet\n\n\ndef test_greet():\n    assert greet('Ana') == 'Hello Ana'\n\n\n"
STR = "def test_str():\n    assert isinstance(greet('x'), str)\n"
NEW = "from app import shout\n\n\ndef test_shout():\n    assert shout('Bo') == 'HELLO BO'\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("released"))
    subprocess.run(["git", "-C", str(project.folder), "tag", "v1.4"], check=True)
    return project


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@dataclass(frozen=True)
class Case:
    name: str
    change: dict[str, str | None]
    entered: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    codes: set[str] = field(default_factory=set[str])
    verdict: str = "passed"


CASES = (
    Case("no tests", {}),
    Case("a new test", {"tests/test_new.py": NEW}, ("tests/test_new.py",), codes={"test-file-added"}),
    Case(
        "a new test that fails",
        {"tests/test_new.py": NEW.replace("HELLO", "Hello")},
        left_out=("tests/test_new.py",),
        codes={"test-file-added", "own-tests-left-out"},
    ),
    Case(
        "more tests in an old file",
        {"tests/test_app.py": OLD + STR + "\n\ndef test_more():\n    assert greet('B')\n"},
        ("tests/test_app.py",),
        codes={"test-file-touched"},
    ),
    Case(
        "an old test that goes",
        {"tests/test_app.py": OLD},
        left_out=("tests/test_app.py",),
        codes={"test-weakened", "own-tests-left-out"},
    ),
    Case(
        "attributes",
        {".gitattributes": "*.py ident\n", "tests/test_new.py": NEW},
        ("tests/test_new.py",),
        (".gitattributes",),
        {"test-file-added", "git-settings-changed"},
    ),
    Case(
        "product code that is run as a test",
        {"test_drive.py": "X = 1\n\n\ndef test_x():\n    pass\n", "app.py": "import test_drive\n" + SHOUT},
        codes={"test-loaded-by-product"},
        verdict="failed",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_is_released_was_graded(project: Project, case: Case) -> None:
    evidence = await project.grade({"app.py": SHOUT, **case.change})
    page = evidence.markdown()
    assert evidence.verdict == case.verdict, page
    assert codes(evidence) == case.codes, page
    assert (evidence.entered, evidence.left_out) == (case.entered, case.left_out), page
    assert all(path in page for path in (*case.entered, *case.left_out))
    for path in case.change:
        as_base = project.repository.read_file(project.change.base_commit, path)
        as_made = project.repository.read_file(project.change.commit, path)
        expected = as_base if path in case.left_out else as_made
        assert project.repository.read_file(evidence.tree, path) == expected


async def test_product_code_named_like_a_test_is_graded_and_released(project: Project) -> None:
    shout = "from app_test import shouted\n\n\ndef greet(name):\n    return f'Hello {name}'\n\n\nshout = shouted\n"
    module = "def shouted(name):\n    from app import greet\n\n    return greet(name).{}()\n"
    right = await project.grade({"app.py": shout, "app_test.py": module.format("upper")})
    assert right.verdict == "passed", right.markdown()
    merged = project.repository.git.records("diff", "--name-only", "-z", project.change.commit, right.tree)
    assert merged == [file.path for file in SEALED.files]
    wrong = await project.grade({"app.py": shout, "app_test.py": module.format("lower")})
    assert wrong.verdict == "failed"


async def test_sealed_tests_are_released_where_all_of_them_pass(project: Project) -> None:
    failing = SealedFile(
        path="tests/test_accept_more.py",
        content="from app import shout\n\n\ndef test_more():\n    assert shout('a') == 'A'\n",
        criteria=("AC1",),
    )
    sealed = SealedTests(files=(*SEALED.files, failing))
    evidence = await project.grade({"app.py": SHOUT}, sealed)
    assert evidence.verdict == "failed", evidence.markdown()
    assert evidence.sealed_files == (SEALED.files[0].path,)
    assert "Sealed tests that are released" in evidence.markdown()
    released = project.repository.read_file(evidence.tree, SEALED.files[0].path)
    assert released == SEALED.files[0].content.encode()
    assert project.repository.read_file(evidence.tree, failing.path) is None


async def test_a_version_that_comes_from_git_is_found_offline(project: Project, tmp_path: Path) -> None:
    setup = 'v=$(git describe --tags --dirty) && test -n "$v" && echo "VERSION = \'$v\'" > version.py'
    version = SealedTests(
        files=(
            SealedFile(
                path="tests/test_accept_version.py",
                content="def test_version():\n    import app, version\n\n    assert app.shout('a') == 'HELLO A'\n"
                "    assert version.VERSION.startswith('v1.4-1-g')\n    assert 'dirty' not in version.VERSION\n",
                criteria=("AC1",),
            ),
        )
    )
    evidence = await project.grade({"app.py": SHOUT}, version, project=ProjectPolicy(setup=setup, test=PYTEST))
    assert evidence.verdict == "passed", evidence.markdown()


async def test_an_unstable_test_keeps_no_other_test_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    project.on_step = Chance(tmp_path, monkeypatch, os.environ["PATH"])
    commit_file(project, "tests/test_chance.py", Chance.test)
    evidence = await project.grade(
        {"app.py": SHOUT, "tests/test_new.py": NEW}, grading=QUICK.model_copy(update={"flaky_reruns": 1})
    )
    assert evidence.base is not None
    assert evidence.base.unstable == 1
    assert evidence.entered == ("tests/test_new.py",)


def commit_file(project: Project, path: str, content: str) -> None:
    (project.folder / path).write_text(content)
    for words in (["add", "-A"], ["commit", "-q", "-m", "More"]):
        subprocess.run(["git", "-C", str(project.folder), *words], check=True)
