"""Characterization tests in a grade: they count as what passed before, and no message quotes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.grading.test_grade import FILES, QUICK, SEALED, SHOUT, SHOUTS, Project, codes

from phasegate.infra.grading.characterization import Characterization, CharacterizationFile
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.sealed_tests import SealedTests

PINNED = """from app import farewell, greet


def test_pinned_greeting():
    assert greet("Zoe") == "Hello Zoe"


def test_pinned_farewell():
    assert farewell("Zoe") == "Bye Zoe"
"""
PATH = "tests/test_pinned.py"
APP = FILES["app.py"] + "\n\ndef farewell(name):\n    return f'Bye {name}'\n"
HONEST = APP + SHOUT.removeprefix(FILES["app.py"])
BROKEN = HONEST.replace("Bye", "Tschüss")
REASON = "No test of the project passes."


def guarded_by(content: str = PINNED) -> SealedTests:
    file = CharacterizationFile(path=PATH, content=content, covers=("app.py::greet", "app.py::farewell"))
    return SEALED.model_copy(update={"characterization": Characterization(reason=REASON, files=(file,))})


class Bare(Project):
    """The project without a test of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.commit({"app.py": APP, "tests/test_app.py": None})

    def commit(self, files: dict[str, str | None]) -> None:
        for name, content in files.items():
            if content is None:
                (self.folder / name).unlink()
            else:
                (self.folder / name).parent.mkdir(exist_ok=True)
                (self.folder / name).write_text(content)
        for words in (["add", "-A"], ["commit", "-q", "-m", "More"]):
            subprocess.run(["git", "-C", str(self.folder), *words], check=True)

    def listed(self, tree: str) -> str:
        command = ["git", "-C", str(self.folder), "ls-tree", "-r", "--name-only", tree]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def objects(self) -> bytes:
        command = ["git", "-C", str(self.folder), "cat-file", "--batch", "--batch-all-objects"]
        return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def moved(tmp_path: Path) -> Bare:
    """A repository of the test's own, which moves on or whose objects are looked at."""
    return Bare(tmp_path)


async def test_an_honest_change_passes_guarded(bare: Bare) -> None:
    evidence = await bare.grade({"app.py": HONEST}, guarded_by())
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.base is not None
    assert evidence.base.passed == 0
    assert evidence.counts.project_passed_on_base == 0
    guards = evidence.guards
    assert guards is not None
    assert (guards.passed_on_base, guards.still_passing, guards.kept_files) == (2, 2, (PATH,))
    assert "Guarded by 2 tests written for this run; the project has none here." in evidence.markdown()
    assert PATH not in bare.listed(evidence.tree)
    assert PATH in bare.listed(guards.kept_tree)
    assert set(bare.listed(guards.kept_tree).split()) - set(bare.listed(evidence.tree).split()) == {PATH}


async def test_without_them_the_same_change_is_unguarded(bare: Bare) -> None:
    evidence = await bare.grade({"app.py": HONEST})
    assert (evidence.verdict, evidence.guards) == ("unguarded", None)


async def test_a_change_that_breaks_a_neighbour_fails_and_is_told_by_name_alone(moved: Bare) -> None:
    evidence = await moved.grade({"app.py": BROKEN}, guarded_by())
    assert evidence.verdict == "failed"
    assert evidence.to_accept == ("tests.test_pinned::test_pinned_farewell",)
    assert evidence.is_acceptable
    told = evidence.failing()
    assert "test_pinned_farewell" in told
    assert "Tschüss Zoe" in told
    assert 'assert farewell("Zoe")' not in told
    assert evidence.guards is not None
    assert (evidence.guards.passed_on_base, evidence.guards.still_passing) == (2, 1)
    assert evidence.guards.kept_tree == ""
    assert b"test_pinned_farewell" not in moved.objects()


async def test_tests_that_cannot_be_imported_with_the_change_fail_alone(bare: Bare) -> None:
    """Mutation tried: `try_guarded` without a second trial; no sealed test had run, and none could be accepted."""
    gone = HONEST.replace("\n\ndef farewell(name):\n    return f'Bye {name}'\n", "")
    evidence = await bare.grade({"app.py": gone}, guarded_by())
    assert evidence.verdict == "failed"
    assert [criterion.status for criterion in evidence.criteria] == ["passed"]
    assert set(evidence.to_accept) == {
        "tests.test_pinned::test_pinned_greeting",
        "tests.test_pinned::test_pinned_farewell",
    }
    assert evidence.is_acceptable
    assert "cannot import name" in evidence.failing()
    assert "def test_pinned_farewell" not in evidence.failing()


FORGING = """
import sys

if "_pytest.reports" in sys.modules:
    kind = sys.modules["_pytest.reports"].TestReport
    made = kind.from_item_and_call

    def from_item_and_call(item, call):
        report = made(item, call)
        report.outcome, report.longrepr = "passed", None
        return report

    kind.from_item_and_call = from_item_and_call
"""


async def test_where_they_are_all_there_is_a_forged_report_is_noticed(bare: Bare) -> None:
    """Mutation tried: canaries next to sealed files alone; then the forged grade passed."""
    sealed = guarded_by().model_copy(update={"files": ()})
    tidied = APP.replace("Hello {name}", "Hello {name!s}")
    honest = await bare.grade({"app.py": tidied}, sealed, (), nothing_new=True)
    assert honest.verdict == "passed", honest.markdown()
    assert "report-unproven" not in codes(honest)
    forged = await bare.grade({"app.py": tidied.replace("Bye", "Ciao") + FORGING}, sealed, (), nothing_new=True)
    assert forged.verdict == "failed", forged.markdown()
    assert "report-forged" in codes(forged)


async def test_what_does_not_hold_on_another_base_is_dropped_and_said(moved: Bare) -> None:
    moved.commit({"app.py": BROKEN.replace(SHOUT.removeprefix(FILES["app.py"]), "")})
    evidence = await moved.grade({"app.py": BROKEN}, guarded_by())
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.guards is not None
    assert evidence.guards.passed_on_base == 1
    assert [name.partition(": ")[0] for name in evidence.guards.dropped] == [PATH]
    assert "test_pinned_farewell" in evidence.guards.dropped[0]
    assert evidence.guards.kept_files == ()
    assert "count for nothing" in evidence.markdown()


async def test_a_name_that_the_branch_has_taken_is_dropped(moved: Bare) -> None:
    moved.commit({PATH: FILES["tests/test_app.py"]})
    evidence = await moved.grade({"app.py": HONEST}, guarded_by())
    assert (evidence.verdict, evidence.counts.project_passed_on_base) == ("passed", 2)
    assert evidence.guards is not None
    assert (evidence.guards.files, evidence.guards.passed_on_base) == ((), 0)
    assert evidence.guards.dropped == (f"{PATH}: the branch has a file of this name",)


async def test_touched_lines_of_base_that_no_test_of_the_project_ran(moved: Bare) -> None:
    moved.commit({"tests/test_app.py": FILES["tests/test_app.py"]})
    changed = HONEST.replace("Bye", "See you,").replace("Hello {name}", "Hello {name}".replace("name", "name!s"))
    sealed = guarded_by(PINNED.split("\n\n\ndef test_pinned_farewell", maxsplit=1)[0] + "\n")
    measuring = QUICK.model_copy(update={"coverage": True})
    evidence = await moved.grade({"app.py": changed}, sealed, grading=measuring)
    assert evidence.verdict == "passed", evidence.markdown()
    assert evidence.guards is not None
    assert evidence.guards.touched is not None
    assert (evidence.guards.touched.total, evidence.guards.touched.not_run) == (2, 1)
    assert "of 2 touched lines of base, no test of the project ran 1" in evidence.markdown()


def test_old_records_are_read_and_spelled_as_they_were() -> None:
    stored = SEALED.canonical()
    assert "characterization" not in stored
    assert SealedTests.from_canonical(stored).digest == SEALED.digest
    evidence = Evidence(verdict="passed", change="c", sealed_tests=SEALED.digest, criteria=())
    assert "guards" not in evidence.canonical()
    assert Evidence.from_canonical(evidence.canonical()) == evidence
    again = SealedTests.from_canonical(guarded_by().canonical())
    assert again == guarded_by()
    assert SHOUTS.id in again.markdown()
    assert "def test_pinned" not in again.markdown()


async def test_a_struck_file_counts_for_nothing(bare: Bare) -> None:
    failed = await bare.grade({"app.py": BROKEN}, guarded_by())
    assert (failed.verdict, failed.to_strike) == ("failed", (PATH,))
    evidence = await bare.grade({"app.py": BROKEN}, guarded_by(), struck=(PATH,))
    assert evidence.verdict == "unguarded", evidence.markdown()
    assert evidence.struck == (PATH,)
    assert evidence.guards is not None
    assert (evidence.guards.files, evidence.guards.kept_tree) == ((), "")
    assert f"Struck by a person, and run no more: `{PATH}`" in evidence.markdown()
