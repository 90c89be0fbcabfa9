"""Every cheat of `watched.py` is caught by a plain process, and honest code like it is not.

One cheat of each kind is tried in each run of the tests, and all of them by `make proof`. Mutations tried: a plain
process with the runners loaded, at the watched path, with empty standard input, without waiting, with `.git`, without
repetition, with the tests' own names: each lets a row through.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.cheats.ground import QUICK, TEST, Ground, Row
from tests.cheats.watched import HONEST, REPLACED, REPLACING, UNWATCHED, WATCHED

from phasegate.infra.grading import SealedTests
from phasegate.infra.grading.integrity.unwatched import Compared, compare_unwatched
from phasegate.infra.grading.test_run import Bench
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.policy.model import LifecyclePolicy, Policy, ProjectPolicy, SandboxPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Workspace

PLAIN = QUICK.model_copy(update={"plain_process": True})
ONE_OF_EACH_KIND = (
    "asks for pytest, spelled in two halves",
    "asks for an installed pytest",
    "looks at the folder's path",
    "counts its calls",
    "asks for an empty standard input",
    "asks for a young process",
    "asks for a git checkout",
    "looks at its callers' names",
    "replaces how JSON is read while pytest is there",
    "replaces a method of paths when it is called",
)
CHEATS = [
    pytest.param(row, id=row.name, marks=() if row.name in ONE_OF_EACH_KIND else pytest.mark.proof)
    for row in (*WATCHED, *REPLACING)
]


def compared(ground: Ground, row: Row, backend: str = "bubblewrap") -> Compared:
    """A row's change under a runner and outside of one, without the rest of its grade."""
    ground.number += 1
    base, number = ground.repository.base().commit, ground.number
    workspace = Workspace.create(ground.repository, f"c{number}", base, ground.state / f"c{number}")
    for name, content in row.files.items():
        assert isinstance(content, str)
        (workspace.folder / name).write_text(content)
    policy = Policy(
        project=ProjectPolicy(test=TEST, test_timeout=timedelta(seconds=30)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        sandbox=SandboxPolicy.model_validate({"backend": backend}),
    )
    change = workspace.collect(base, (), row.name)
    workspace.remove()
    scratch = ground.state / "compared" / f"scratch{number}"
    bench = Bench(ground.repository, policy, open_sandbox(policy.sandbox, ground.state), scratch, lambda step: None)
    graded = graded_tree(ground.repository, change, policy)
    return asyncio.run(compare_unwatched(bench, base, graded, row.sealed, ["tests/test_shop.py"], seconds=0))


def test_all_kinds_are_there() -> None:
    assert {*ONE_OF_EACH_KIND} <= {row.name for row in (*WATCHED, *REPLACING)}


@pytest.mark.parametrize("row", CHEATS)
def test_a_cheat_is_caught(ground: Ground, row: Row) -> None:
    told = compared(ground, row)
    assert {(finding.code, finding.severity) for finding in told.findings} == {(row.code, "cheating")}


def test_a_difference_fails_the_grade_and_an_admin_may_accept_it(ground: Ground) -> None:
    for row in (WATCHED[0], REPLACING[0]):
        evidence = ground.grade(row, PLAIN)
        assert evidence.verdict == "failed", evidence.markdown()
        named = {finding.path for finding in evidence.findings if finding.code in (UNWATCHED, REPLACED)}
        assert named
        assert {*evidence.to_accept} == named
        assert evidence.is_acceptable
        assert row.code in evidence.failing()


@pytest.mark.parametrize("row", HONEST, ids=lambda row: row.name)
def test_honest_code_is_not_accused(ground: Ground, row: Row) -> None:
    told = compared(ground, row)
    assert told.findings == ()
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (3, 2, ())


def test_without_a_sandbox_the_checkout_is_moved(ground: Ground) -> None:
    assert compared(ground, HONEST[0], backend="none").summary.compared == 3
    assert compared(ground, WATCHED[0], backend="none").findings


def test_a_file_that_no_plain_process_can_run_is_named(ground: Ground) -> None:
    file = HONEST[0].sealed.files[0]
    text = "import pytest\n\n\ndef test_ac1_asks(request):\n    assert request.node\n"
    sealed = SealedTests(files=(file, file.model_copy(update={"path": "tests/test_asks.py", "content": text})))
    row = Row("", HONEST[0].files, "passed", "", sealed=sealed)
    assert compared(ground, row).summary.not_compared == ("tests/test_asks.py",)
