"""Canaries in reports that the runners of JavaScript really wrote, by honest product code and by code that forges.

`node_reports` holds them: each of a project's own test `greets`, a sealed test `shouts`, and a canary with a copy of
the sealed test. The product code of the forged ones patches the runner, what it prints, or what it compares with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.infra.grading.integrity.canaries import Planted, agreeing, attribute_planted, own_cases
from phasegate.infra.grading.runner.junit import Status, TestCase, parse
from phasegate.infra.grading.runner.named_cases import cases_of
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

REPORTS = Path(__file__).parent / "node_reports"
ROOT = Path("/checkout")


@dataclass(frozen=True)
class Runner:
    name: str
    folder: str = "test/{}.js"
    title: str = "shouts, again"
    known: tuple[str, ...] = ()


RUNNERS = (
    Runner("mocha"),
    Runner("jest", "test/{}.test.js"),
    Runner("vitest", "test/{}.test.js"),
    Runner("node", "test/{}.test.js", known=("test::greets",)),
    Runner("ava"),
    Runner("tape", known=("greets::should be strictly equal",)),
    Runner("tap16"),
    Runner("tap21", title="works, again"),
)


def read(runner: Runner, kind: str) -> tuple[Sequence[str], dict[str, set[str]]]:
    """The canary's outcomes, and those of the sealed test and the project's own by the end of their names."""
    cases = parse((REPORTS / f"{runner.name}-{kind}.xml").read_bytes(), ROOT)
    text = "import { test } from 'a-runner';\ntest('shouts', () => {});\n"
    sealed = SealedFile(path=runner.folder.format("accept"), content=text, criteria=("AC1",))
    canary = sealed.model_copy(
        update={"path": runner.folder.format("accept_again_again"), "content": f"{text}\ntest('{runner.title}')\n"}
    )
    planted = Planted(canaries=(canary,), must_fail=frozenset({(canary.path, runner.title)}))
    files = [runner.folder.format("a"), "app.js", "app.mjs", "package.json"]
    told = attribute_planted(cases, SealedTests(files=(sealed,)), planted, files, runner.known)
    outcomes = [case.status for case in own_cases(planted, canary, told.sealed)]
    return outcomes, {
        "sealed": {f"{case.status} {case.id}" for case in told.sealed[sealed.path]},
        "project": {f"{case.status} {case.id}" for case in told.project},
    }


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda runner: runner.name)
def test_a_canary_fails_and_disturbs_no_other_test(runner: Runner) -> None:
    outcomes, told = read(runner, "honest")
    assert set(outcomes) == {"failed"}
    assert len(told["sealed"]) == len(told["project"]) > 0
    assert all("shouts" in case and case.startswith("passed") for case in told["sealed"])
    assert all("greets" in case and case.startswith("passed") for case in told["project"])


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda runner: runner.name)
def test_a_canary_that_passes_gives_a_forged_report_away(runner: Runner) -> None:
    outcomes, _ = read(runner, "forged")
    assert set(outcomes) == {"passed"}


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda runner: runner.name)
def test_an_old_test_is_found_by_its_title(runner: Runner) -> None:
    cases = parse((REPORTS / f"{runner.name}-honest.xml").read_bytes(), ROOT)
    path = runner.folder.format("a")
    found = cases_of(path, "greets", cases, [path, runner.folder.format("accept")])
    assert found
    assert all("greets" in case.id for case in found)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(("failed", "passed"), False), (("passed", "failed"), False), (("passed", "passed"), True), (("failed",), False)],
    ids=["the second check passes", "the first check passes", "all pass", "it fails"],
)
def test_a_counter_test_agrees_where_each_of_its_checks_passes(statuses: Sequence[Status], expected: bool) -> None:
    counter = SealedFile(path="test/accept.js", content="", criteria=("AC1",))
    planted = Planted(counters=(counter,), must_fail=frozenset({(counter.path, "groups booleans")}))
    ids = [f"groups booleans::should be equal #{number}" for number, _ in enumerate(statuses)]
    cases = tuple(TestCase(one, None, status) for one, status in zip(ids, statuses, strict=True))
    assert bool(agreeing(planted, {counter.path: cases})) is expected
