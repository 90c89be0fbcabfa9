"""A small real project, and the grade of a change to it: what the cheat suite stands on."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.repositories import first_commit

from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.integrity.unwatched import Compared, compare_unwatched
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.policy.model import GradingPolicy, LifecyclePolicy, Policy, ProjectPolicy, SandboxPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import ChangeSet, Repository, Workspace

TEST = (
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1 "
    f"{shlex.quote(sys.executable)} -m pytest -q --junitxml={{junit}}"
)
SHOP = "def total(prices):\n    return sum(prices)\n"
WORK = """

def discounted(price, percent):
    if not 0 <= percent <= 100:
        raise ValueError(f"not a percentage: {percent}")
    return price * (100 - percent) / 100
"""
DONE = SHOP + WORK
UNDONE = SHOP + "\n\ndef discounted(price, percent):\n    return price\n"
"""The new function, without what was asked for."""
BROKEN = DONE.replace("sum(prices)", "len(prices)")
"""The new function, and an old one broken."""
TESTS = (
    "import helpers\nimport shop\n\n\ndef test_total():\n    assert shop.total(helpers.PRICES) == helpers.TOTAL\n\n\n"
    "def test_nothing():\n    assert shop.total([]) == 0\n"
)
CONFTEST = "import pytest\nimport shop\n\n\n@pytest.fixture\ndef total():\n    return shop.total\n"
FILES = {
    "shop.py": SHOP,
    "README.md": "# Shop\n",
    "tests/test_shop.py": TESTS,
    "tests/conftest.py": CONFTEST,
    "tests/helpers.py": "PRICES = [1, 2, 4]\nTOTAL = 7\n",
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
    ".github/workflows/ci.yml": "on: push\njobs: {}\n",
}
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_discount.py",
            content=(
                "import pytest\nimport shop\n\n\ndef test_ac1_a_discount():\n"
                "    assert shop.discounted(4200, 15) == 3570\n\n\n"
                "def test_ac1_any_discount():\n    assert shop.discounted(80, 50) == 40\n"
                "    for price in (50, 150, 700):\n        assert shop.discounted(price, 10) == price - price / 10\n"
                "\n\n"
                "def test_ac2_no_percentage():\n    with pytest.raises(ValueError):\n        shop.discounted(1, 101)\n"
            ),
            criteria=("AC1", "AC2"),
        ),
    )
)
ONE_EXAMPLE = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_discount.py",
            content="import shop\n\n\ndef test_a_discount():\n    assert shop.discounted(4200, 15) == 3570\n",
            criteria=("AC1",),
        ),
    )
)
"""Sealed tests that try a single example: weak ones, which a table of answers satisfies."""

_TITLE = re.compile(r"def (test\w+)|func (Test\w+)|\b(?:it|test)\('([^']+)'")
"""Finds the name of a test, as each language declares it."""


@dataclass(frozen=True)
class Criterion:
    id: str
    statement: str


CRITERIA = (
    Criterion("AC1", "discounted takes a percentage off a price"),
    Criterion("AC2", "discounted refuses what is no percentage"),
)


@dataclass(frozen=True)
class Link:
    """A symbolic link, where a change has one."""

    target: str


Content = str | bytes | Link | None
"""Content of a file after a change; None if the change deletes it."""


def shop(text: str, *, before: str = "") -> dict[str, Content]:
    return {"shop.py": f"{before}{SHOP}{text}"}


@dataclass(frozen=True)
class Row:
    """A change, and what grading must say of it."""

    name: str
    files: Mapping[str, Content]
    verdict: str
    code: str
    """A finding that must be there; without a severity: a criterion that fails or a test that is broken."""
    severity: str = ""
    """The finding's severity."""
    sealed: SealedTests = SEALED
    setup: str = ""
    notes: frozenset[str] = field(default=frozenset())
    """Codes of the notes that may be there besides."""
    criteria: tuple[Criterion, ...] = CRITERIA


QUICK = GradingPolicy(ablation_time=timedelta(0), coverage=False, flaky_reruns=0, plain_process=False)


class Chance:
    """A folder that tests in the sandbox can read, where grading's current step is written: it comes as by chance."""

    test = (
        "import os\n\n\ndef test_chance():\n"
        "    folder = next(one for one in os.environ['PATH'].split(':') if one.endswith('/chance'))\n"
        "    with open(f'{folder}/step') as step:\n        assert step.read().startswith('base-1:')\n"
    )
    """A test that passes in the first run on the base commit, and in no other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
        self.folder = folder / "chance"
        self.folder.mkdir()
        monkeypatch.setenv("PATH", f"{path}:{self.folder}")

    def __call__(self, step: str) -> None:
        (self.folder / "step").write_text(step)


class Ground:
    """The project, and grading on it."""

    def __init__(self, folder: Path, files: Mapping[str, str] = FILES) -> None:
        self.state, top = folder / "state", folder / "project"
        first_commit(top, files)
        self.repository = Repository.open(top)
        self.number = 0
        self.on_step: Callable[[str], None] = lambda step: None

    def change(self, row: Row) -> ChangeSet:
        """A row's change, as a commit."""
        self.number += 1
        base = self.repository.base().commit
        workspace = Workspace.create(self.repository, f"r{self.number}", base, self.state / f"w{self.number}")
        for name, content in row.files.items():
            _write(workspace.folder / name, content)
        change = workspace.collect(base, (), row.name)
        workspace.remove()
        return change

    def grade(self, row: Row, grading: GradingPolicy = QUICK, test: str = TEST) -> Evidence:
        """The grade of a row's change; unless told otherwise without ablation and coverage, which fail nothing."""
        change = self.change(row)
        policy = Policy(
            project=ProjectPolicy(test=test, setup=row.setup, test_timeout=timedelta(seconds=30)),
            lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
            grading=grading,
        )
        return asyncio.run(
            grade(
                repository=self.repository,
                change=change,
                sealed=row.sealed,
                criteria=row.criteria[: 1 if row.sealed is ONE_EXAMPLE else None],
                policy=policy,
                sandbox=open_sandbox(policy.sandbox, self.state),
                scratch=self.state / "grading" / f"scratch{self.number}",
                on_step=self.on_step,
            )
        )


def compared(
    ground: Ground,
    files: Mapping[str, Content],
    sealed: SealedTests,
    *,
    test: str,
    own: Sequence[str],
    setup: str = "",
    backend: str = "bubblewrap",
    start: str = "",
) -> Compared:
    """A change under a runner and outside of one, without the rest of its grade."""
    ground.number += 1
    base, number, top = ground.repository.base().commit, ground.number, ground.state.parent / "project"
    workspace = Workspace.create(ground.repository, f"c{number}", base, ground.state / f"c{number}")
    for name, content in files.items():
        _write(workspace.folder / name, content)
    policy = Policy(
        project=ProjectPolicy(test=test, setup=setup, test_timeout=timedelta(seconds=30)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        sandbox=SandboxPolicy.model_validate({"backend": backend}),
        deploy=DeployPolicy(start=start, health="/"),
    )
    change = workspace.collect(base, (), "A change")
    workspace.remove()
    scratch = ground.state / "compared" / f"scratch{number}"
    bench = Bench(ground.repository, policy, open_sandbox(policy.sandbox, ground.state), scratch, lambda step: None)
    graded = graded_tree(ground.repository, change, policy)
    known = {path: (top / path).read_text() for path in own} | {file.path: file.content for file in sealed.files}
    reported = {
        path: [name for found in _TITLE.findall(text) for name in found if name] for path, text in known.items()
    }
    return asyncio.run(compare_unwatched(bench, base, graded, sealed, own, 1.6751, reported))


def check(ground: Ground, row: Row) -> None:
    """A row's change ends as the row says, with the finding that it says, on the gate page, too."""
    evidence = ground.grade(row)
    page = evidence.markdown()
    assert evidence.verdict == row.verdict, page
    failed = {f"{result.id} failed" for result in evidence.criteria if result.status == "failed"}
    broken = {f"{regression.test.rpartition('::')[2]} broken" for regression in evidence.regressions}
    found = {(finding.code, finding.severity) for finding in evidence.findings}
    if row.severity:
        assert (row.code, row.severity) in found, page
        assert row.code in page
    else:
        assert row.code in failed | broken, page
    if row.verdict == "failed":
        assert failed or broken or "cheating" in {severity for _, severity in found}, page


def _write(path: Path, content: Content) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case str():
            path.write_text(content)
        case bytes():
            path.write_bytes(content)
        case Link(target):
            path.symlink_to(target)
        case None:
            pass


def parameters(cases: Iterable[Row | str], quickly: Collection[str]) -> list[Any]:
    """Cases for `pytest.mark.parametrize`, by their names; those that are not named for `make test` are proofs."""
    named = [(case if isinstance(case, str) else case.name, case) for case in cases]
    return [pytest.param(case, id=name, marks=() if name in quickly else pytest.mark.proof) for name, case in named]
