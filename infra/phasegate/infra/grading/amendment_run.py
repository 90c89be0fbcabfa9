"""Amendments in one grade: which old tests really fail on the change, and the tree without those.

Called by `grade`, before the change is tried and after. Rules of the verdict are in `verdict`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.amendments import AmendedTest, Amendment, find_test
from phasegate.infra.grading.base import BaseJudgement
from phasegate.infra.grading.base_runs import BaseRuns, kept_run
from phasegate.infra.grading.evidence import Regression
from phasegate.infra.grading.runner.attribution import Attribution
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.runner.named_cases import cases_of
from phasegate.infra.grading.runner.runner import Bench, Checkout, TestRun
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree, commit_with
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.grading.tree.test_cases import holds_other_cases, split_case, without_cases
from phasegate.infra.grading.tree.test_removal import without_tests
from phasegate.infra.grading.tree.test_sources import inherited_names
from phasegate.infra.workspace import ChangeSet
from phasegate.infra.workspace.change_set import AmendmentRequest

_LONGEST = 20_000
"""Characters kept of a test's source or of a snapshot."""


@dataclass(frozen=True)
class Amending:
    """A grade's amendments, applied."""

    graded: GradedTree
    """Without the amended tests."""
    base: BaseRuns
    """Outcomes on base, without the amended tests' own."""
    tests: tuple[AmendedTest, ...] = ()
    own: tuple[TestCase, ...] = ()
    """Outcomes that passed on base and were amended."""
    before: tuple[TestCase, ...] = ()
    """Outcomes on the change with base's tests in place."""


async def apply_amendments(
    bench: Bench, change: ChangeSet, graded: GradedTree, sealed: SealedTests, base: BaseRuns, struck: Collection[str]
) -> Amending:
    """Try the old tests on the change, and take those out that are amended and fail.

    Args:
        bench: Where tests are run.
        change: What is graded.
        graded: Its tree with base's tests.
        sealed: Names the amendments.
        base: Outcomes on the base commit.
        struck: Amendments that a person struck, by their test.
    """
    gone = [_as_test(amendment, "struck") for amendment in sealed.amends if amendment.test in struck]
    gone += [_as_test(request, "declined") for request in sealed.declined]
    active = [amendment for amendment in sealed.amends if amendment.test not in struck]
    if not active:
        return Amending(graded, base, tuple(gone))
    run = await bench.run(
        Checkout("change-with-obsolete-tests", graded.tree, graded.belongs_to_tests, sealed, origin="change")
    )
    taken = await _taken_with(bench, change.base_commit, active, base)
    paths = [path for path in bench.repository.files(change.base_commit) if is_test_file(path)]
    tests: list[AmendedTest] = []
    own: list[TestCase] = []
    for amendment in active:
        test = _snapshot(bench, change, amendment) if not amendment.name else None
        if test is None:
            text = _text(bench, change.base_commit, amendment.path)
            names = (amendment.name, *inherited_names(amendment.path, amendment.name, text))
            cases = [case for name in names for case in cases_of(amendment.path, name, base.alone.cases, paths)]
            cases = [case for case in cases if case.key in taken] or cases
            now = [case for name in names for case in cases_of(amendment.path, name, run.cases, paths)]
            now = [case for case in now if case.key in {case.key for case in cases}] or now
            test = _judge(bench, change, sealed, amendment, cases, now)
            own += [case for case in cases if case.key in taken] if test.status == "amended" else []
        tests.append(test)
    amended = await asyncio.to_thread(_tree, bench, change, graded, tests)
    ids = {case.key for case in own}
    left = replace(base.alone, cases=tuple(case for case in base.alone.cases if case.key not in ids))
    compared = replace(base, alone=left, judgement=_judgement_without(base.judgement, tests, paths, ids))
    return Amending(amended, compared, (*tests, *gone), tuple(own), run.cases)


def refused_amendments(amending: Amending, base: Attribution, change: Attribution) -> Amending:
    """Amendments again, those refused whose replacement passed on base or does not pass on the change."""

    def judged(test: AmendedTest) -> AmendedTest:
        if test.status != "amended" or not test.replacement:
            return test
        path, _, name = test.replacement.partition("::")
        before = cases_of(path, name, base.sealed.get(path, ()), ())
        after = cases_of(path, name, change.sealed.get(path, ()), ())
        why = ""
        if not after or any(case.status != "passed" for case in after):
            why = "its replacement does not pass on the change"
        elif before and all(case.status == "passed" for case in before):
            why = "its replacement passes on the base commit, too"
        return test.model_copy(update={"status": "refused", "why": why}) if why else test

    return replace(amending, tests=tuple(map(judged, amending.tests)))


def unguarded_replacements(amending: Amending, change: Attribution, red: Collection[str]) -> Amending:
    """Amendments again, those refused whose replacement stays green whatever piece of the change is taken out."""

    def judged(test: AmendedTest) -> AmendedTest:
        if test.status != "amended" or not test.replacement:
            return test
        path, _, name = test.replacement.partition("::")
        if any(case.id in red for case in cases_of(path, name, change.sealed.get(path, ()), ())):
            return test
        why = "its replacement passes with any piece of the change taken out"
        return test.model_copy(update={"status": "refused", "why": why})

    return replace(amending, tests=tuple(map(judged, amending.tests)))


def regressions_of_refused(amending: Amending) -> Iterator[Regression]:
    """The tests whose amendment was refused: they passed on base, and fail on the change."""
    for test in amending.tests:
        if test.status == "refused":
            for id_ in test.tests:
                yield Regression(test=id_, message=f"its amendment does not hold: {test.why}")


def compared_by_eye(amending: Amending, change: Iterable[TestCase]) -> Amending:
    """Amendments again, each snapshot with the tests that fail with the old one and pass with the new one."""
    snapshots = [test for test in amending.tests if test.status == "by-eye"]
    if not snapshots:
        return amending
    failing = {case.id for case in amending.before if case.status != "passed"} - {case.id for case in amending.own}
    ids = tuple(sorted({case.id for case in change if case.status == "passed" and case.id in failing}))
    tests = (test.model_copy(update={"tests": ids}) if test.status == "by-eye" else test for test in amending.tests)
    return replace(amending, tests=tuple(tests))


def _judge(
    bench: Bench,
    change: ChangeSet,
    sealed: SealedTests,
    amendment: Amendment,
    base: Sequence[TestCase],
    now: Sequence[TestCase],
) -> AmendedTest:
    passed = [case for case in base if case.status == "passed"]
    if not passed:
        return _as_test(amendment, "not-needed", why="it did not pass on the base commit")
    if _still_passes(passed, now):
        return _as_test(amendment, "not-needed", why="it still passes on the change")
    before = _source(amendment.path, amendment.name, _text(bench, change.base_commit, amendment.path))
    path, _, name = amendment.replacement.partition("::")
    contents = {file.path: file.content for file in sealed.files}
    after = _source(path, name, contents.get(path, "")) if name else ""
    ids = tuple(case.id for case in passed)
    test = _as_test(amendment, "amended")
    return test.model_copy(update={"before": before[:_LONGEST], "after": after[:_LONGEST], "tests": ids})


def _still_passes(before: Sequence[TestCase], now: Sequence[TestCase]) -> bool:
    """True where what passed on base passes on the change; compared by number where no id is the same."""
    passing = {case.id for case in now if case.status == "passed"}
    if {case.id for case in before}.isdisjoint({case.id for case in now}):
        return len(passing) == len(now) >= len(before)
    return all(case.id in passing for case in before)


async def _taken_with(
    bench: Bench, base_commit: str, amendments: Sequence[Amendment], base: BaseRuns
) -> frozenset[TestKey]:
    """Tests of the base commit that are gone once the amended ones are cut out: a report's names alone tell too little.

    All tests of the base commit, where the run without them tells nothing.
    """
    everything = frozenset(case.key for case in base.alone.cases)
    contents, removed = _cut(bench, base_commit, [amendment.test for amendment in amendments if amendment.name])
    if not contents and not removed:
        return frozenset()
    commit = commit_with(bench.repository, base_commit, contents, base=base_commit, removed=removed)
    run = await kept_run(bench, Checkout("base-without-obsolete-tests", commit, origin="base"))
    return everything if run.problem else everything - {case.key for case in run.cases}


def _judgement_without(
    judgement: BaseJudgement | None, tests: Sequence[AmendedTest], paths: Collection[str], own: Collection[TestKey]
) -> BaseJudgement | None:
    """A judgement without the amended tests: those unstable on base are counted in each of its runs."""
    if judgement is None:
        return None
    runs: list[TestRun] = []
    for run in judgement.runs:
        gone = [
            case
            for test in tests
            if test.status == "amended"
            for case in cases_of(*_path_and_name(test.test), run.cases, paths)
            if case.key in own or case.key in judgement.unstable
        ]
        runs.append(replace(run, cases=tuple(case for case in run.cases if case not in gone)))
    return BaseJudgement(tuple(runs))


def _path_and_name(test: str) -> tuple[str, str]:
    path, _, name = test.partition("::")
    return path, name


def _snapshot(bench: Bench, change: ChangeSet, amendment: Amendment) -> AmendedTest:
    before, after = (_text(bench, commit, amendment.path) for commit in (change.base_commit, change.commit))
    if before == after:
        return _as_test(amendment, "not-needed", why="the change leaves it as it is")
    test = _as_test(amendment, "by-eye")
    return test.model_copy(update={"before": before[:_LONGEST], "after": after[:_LONGEST]})


def _as_test(amendment: AmendmentRequest, status: str, *, why: str = "") -> AmendedTest:
    return AmendedTest.model_validate({**amendment.model_dump(), "status": status, "why": why})


def _text(bench: Bench, commit: str, path: str) -> str:
    return (bench.repository.read_file(commit, path) or b"").decode(errors="replace")


def _source(path: str, name: str, text: str) -> str:
    source = find_test(path, split_case(path, name)[0], text)
    return text[source.start : source.end] if source else ""


def _cut(bench: Bench, commit: str, tests: Iterable[str]) -> tuple[dict[str, bytes], set[str]]:
    """Files of a commit without some tests: what they become, and those that hold nothing then."""
    contents: dict[str, bytes] = {}
    removed: set[str] = set()
    names: dict[str, dict[str, set[str]]] = {}
    for test in tests:
        path, name = _path_and_name(test)
        whole, case = split_case(path, name)
        source = find_test(path, whole, _text(bench, commit, path))
        if source is not None:
            names.setdefault(path, {}).setdefault(source.name, set()).add(case)
    for path, own in names.items():
        text = _without(path, _text(bench, commit, path), own)
        contents |= {path: text.encode()} if text.strip() else {}
        removed |= set() if text.strip() else {path}
    return contents, removed


def _tree(bench: Bench, change: ChangeSet, graded: GradedTree, tests: Sequence[AmendedTest]) -> GradedTree:
    """The graded tree without the amended tests, and with the snapshots that a person compares by eye."""
    contents, removed = _cut(bench, graded.tree, [test.test for test in tests if test.status == "amended"])
    for path in (test.test for test in tests if test.status == "by-eye"):
        content = bench.repository.read_file(change.commit, path)
        contents |= {path: content} if content is not None else {}
        removed |= {path} if content is None else set()
    if not contents and not removed:
        return graded
    base = change.base_commit
    tree = commit_with(bench.repository, graded.tree, contents, base=base, removed=removed)
    return replace(graded, tree=tree)


def _without(path: str, text: str, names: Mapping[str, Collection[str]]) -> str:
    """A test file without the tests named, or without the cases named of a test that has others."""
    whole = {name for name, cases in names.items() if "" in cases or not holds_other_cases(text, name, cases)}
    for name, cases in names.items():
        if name not in whole:
            text = without_cases(text, name, cases) or text  # sealing made sure that they can be cut out
    return without_tests(path, text, whole) if whole else text
