"""FAIL_TO_PASS and PASS_TO_PASS: from two commits' test outcomes to criteria met and tests broken.

Called by `grade`. It must not know how tests are run. Source: SWE-bench's grading (arXiv:2310.06770, §2).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from phasegate.infra.grading.base import BaseJudgement, cases_by_function, function_of
from phasegate.infra.grading.evidence import CriterionResult, Regression
from phasegate.infra.grading.runner.attribution import Attribution
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

_SHOWN = 5
_SHORTEST_QUOTE = 8
_NOT_COLLECTED = (
    "{} is not run by the test command, on base neither; nor is a test that was planted beside it. Look at the "
    "errors on base, if there are any, and at the names and folders that `project.test` and the runner's settings take "
    "for tests; mend them, and start the run anew."
)
_NUMBER = re.compile(r"(?<=[A-Za-z_])\d+(?=[-\]])")
"""Index at the end of a part of an id, as in `[output185]`: the order of a set decides it."""
_FRAME = re.compile(r"^(?:E\s|[>\s])*\s*(?:\d+\s*\|)?\s*")


class CriterionLike(Protocol):
    """Acceptance criterion, as far as grading needs it."""

    @property
    def id(self) -> str:
        """Its id, as sealed files name it."""
        ...

    @property
    def statement(self) -> str:
        """Statement that must hold."""
        ...


def judge_criteria(
    criteria: Sequence[CriterionLike],
    sealed: SealedTests,
    base: Attribution,
    change: Attribution,
    trouble: str,
    not_collected: Collection[str] = (),
) -> tuple[CriterionResult, ...]:
    """Judge each criterion by its sealed tests, on base and on the change.

    Args:
        criteria: All of the PRD's.
        sealed: The tests' files.
        base: Their outcomes on the base commit.
        change: Their outcomes on the change.
        trouble: Why the run on the change reported nothing; empty: it did.
        not_collected: Sealed files that the test command does not run, whatever a change does.
    """
    quotes = {_bare(line) for file in (*sealed.files, *sealed.guards) for line in file.content.splitlines()}
    message = _unquoted(trouble, quotes)
    return tuple(_judge(criterion, sealed, base, change, message, quotes, not_collected) for criterion in criteria)


def regressions(
    base: Iterable[TestCase], change: Iterable[TestCase], judgement: BaseJudgement | None = None
) -> tuple[Regression, ...]:
    """The tests that passed on base and do not pass on the change.

    Args:
        base: A run on the base commit.
        change: A run on the change.
        judgement: What several runs on the base commit show; only what is unstable in them is not compared by its id.
    """
    base, after_change = tuple(base), tuple(change)
    stop = stopped_by(base, after_change)
    now = {case.key: case for case in after_change}
    numbered = _numbered(after_change, {case.key for case in base})
    unstable = judgement.unstable if judgement else frozenset[TestKey]()
    broken: list[Regression] = []
    for case in base:
        after = now.get(case.key) or next(numbered.get(_without_number(case.key), iter(())), None)
        if case.status != "passed" or case.key in unstable:
            continue
        if after is None or after.status != "passed":
            message = f"it did not run{stop}" if after is None else after.message or after.status
            stop = "" if after is None else stop  # said once
            broken.append(Regression(test=case.id, message=message))
    return (*broken, *(_among_unstable(judgement, after_change) if judgement else ()))


def _numbered(change: Iterable[TestCase], known: Collection[TestKey]) -> dict[TestKey, Iterator[TestCase]]:
    """Cases that base has not, by their ids without pytest's numbers: these may differ from run to run."""
    groups: dict[TestKey, list[TestCase]] = {}
    for case in change:
        if case.key not in known:
            groups.setdefault(_without_number(case.key), []).append(case)
    return {key: iter(cases) for key, cases in groups.items()}


def _without_number(key: TestKey) -> TestKey:
    """The id of a case without the numbers that pytest gives to parameters it has no words for."""
    function, bracket, case = key[0].partition("[")
    return f"{function}{bracket}{_NUMBER.sub('', case)}", key[1]


def without_quotes(message: str, files: Iterable[SealedFile]) -> str:
    """A message without the lines that it quotes from the text of sealed files."""
    return _unquoted(message, {_bare(line) for file in files for line in file.content.splitlines()})


def stopped_by(base: Iterable[TestCase], change: Iterable[TestCase]) -> str:
    """First error that base has not, which kept tests from running on the change; to be put behind a sentence."""
    known = {case.id for case in base}
    errors = (case for case in change if case.status == "error" and case.id not in known)
    return next((f"; the run stopped at {case.name}: {case.message}" for case in errors), "")


def _among_unstable(judgement: BaseJudgement, change: tuple[TestCase, ...]) -> Iterator[Regression]:
    """Test functions, unstable on base, of which fewer cases run on the change, or of which one newly fails."""
    compared = frozenset(judgement.outcomes) - judgement.unstable
    runs = [cases_by_function(run.cases, compared) for run in judgement.whole]
    now = cases_by_function(change, compared)
    for key in sorted({(function_of(test), file) for test, file in judgement.unstable}, key=str):
        counts = [run.get(key, Counter()) for run in runs]
        after = now.get(key, Counter())
        least = min(count["passed"] + count["failed"] for count in counts)
        ran = after["passed"] + after["failed"]
        if ran < least:
            yield Regression(test=key[0], message=f"{ran} of {least} cases ran")
        elif after["failed"] and not any(count["failed"] for count in counts):
            own = (case for case in change if (function_of(case.id), case.file) == key)
            messages = (case.message for case in own if case.status in ("failed", "error"))
            yield Regression(test=key[0], message=next(messages, "") or "a case of it fails, as none does on base")


def _judge(
    criterion: CriterionLike,
    sealed: SealedTests,
    base: Attribution,
    change: Attribution,
    trouble: str,
    quotes: set[str],
    not_collected: Collection[str],
) -> CriterionResult:
    files = [file for file in sealed.files if criterion.id in file.criteria]
    after = change.cases_for(criterion.id, files)
    before = {case.id: case for case in base.cases_for(criterion.id, files)}
    result = CriterionResult(
        id=criterion.id, statement=criterion.statement, status="failed", tests=tuple(case.id for case in after)
    )
    if not files:
        message = "No sealed test names this criterion."
        return result.model_copy(update={"status": "untested", "message": message})
    if trouble:
        return result.model_copy(update={"message": trouble})
    stop = _unquoted(stopped_by(base.project, change.project), quotes)
    silent = [file.path for file in files if not change.sealed[file.path]]
    faults = [f"{path} yields no test{stop}" for path in silent if path not in not_collected]
    if not after and not silent:
        faults = ["none of its tests ran"]
    ids = {case.id for case in after}
    faults += [
        f"{case.name}: did not run on the change"
        for case in before.values()
        if case.id not in ids and case.status != "error"
    ]
    counting = [case for case in after if not (case.status == "skipped" and _status(before, case) == "skipped")]
    faults += [_fault(case, quotes) for case in counting if case.status != "passed"]
    if after and not counting:
        faults += ["all of its tests are skipped"]
    if faults:
        more = [f"… and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        return result.model_copy(update={"message": "\n".join([*faults[:_SHOWN], *more])})
    if silent:
        message = "\n".join(map(_NOT_COLLECTED.format, silent))
        return result.model_copy(update={"status": "untested", "message": message})
    if all(_status(before, case) == "passed" for case in counting):
        message = "Its tests pass on the base commit, too: they do not show that the change does anything."
        return result.model_copy(update={"status": "vacuous", "message": message})
    return result.model_copy(update={"status": "passed"})


def _status(cases: dict[str, TestCase], case: TestCase) -> str:
    return cases[case.id].status if case.id in cases else "missing"


def _fault(case: TestCase, quotes: set[str]) -> str:
    return f"{case.name}: {_unquoted(case.message, quotes) or case.status}"


def _unquoted(message: str, quotes: set[str]) -> str:
    """A message without the lines that it quotes from a sealed file."""
    bare = ((line, _bare(line)) for line in message.splitlines())
    return "\n".join(line for line, text in bare if len(text) < _SHORTEST_QUOTE or text not in quotes).strip()


def _bare(line: str) -> str:
    return _FRAME.sub("", line).strip()
