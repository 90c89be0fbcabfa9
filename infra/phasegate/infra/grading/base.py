"""Judgement of a base commit: outcomes of the project's own tests, and their stability.

Called by `grade`, by the engine before any model call, and by `doctor --run`. It must not know a change or a sealed
test.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.file_lock import locked
from phasegate.infra.grading.base_summary import BaseSummary
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.runner.runner import PROBLEMS, Bench, Checkout, TestRun
from phasegate.infra.grading.runner.stored_files import store
from phasegate.infra.workspace.change_set import readable

Outcome = Literal["passed", "failed", "skipped", "missing"]

_SHOWN = 10
_QUOTE = 600
_REMARK = re.compile(r"\s*(?:\[notice\]|warning\b|npm warn|npm notice|hint:|note:)", re.IGNORECASE)
"""Lines that say nothing of what failed, and are often the last ones."""
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_VOLATILE = re.compile(
    r"0x[0-9a-fA-F…]+"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|(?=[0-9a-f]*\d)[0-9a-f]{12,}"
    r"|\d[\d:.,TZ+-]*"
)


@dataclass(frozen=True)
class BaseJudgement:
    """Runs of the project's own tests on one base commit, compared."""

    runs: tuple[TestRun, ...]

    @cached_property
    def whole(self) -> tuple[TestRun, ...]:
        """Runs that reported."""
        return tuple(run for run in self.runs if not run.problem)

    @cached_property
    def first(self) -> TestRun:
        """The run that stands for all: the first one that reported, or the first one."""
        return (self.whole or self.runs)[0]

    @cached_property
    def outcomes(self) -> dict[TestKey, tuple[Outcome, ...]]:
        """Each test's outcome in each run that reported."""
        tables: list[dict[TestKey, Outcome]] = [{case.key: _outcome(case) for case in run.cases} for run in self.whole]
        keys = dict.fromkeys(key for table in tables for key in table)
        return {key: tuple(table.get(key, "missing") for table in tables) for key in keys}

    @cached_property
    def unstable_ids(self) -> frozenset[TestKey]:
        """Tests that one run has and another has not, and those named by an address, which may agree by chance."""
        return frozenset(
            key for key, outcomes in self.outcomes.items() if "missing" in outcomes or _ADDRESS.search(key[0])
        )

    @cached_property
    def unstable_outcomes(self) -> frozenset[TestKey]:
        """Tests that every run has, with different outcomes."""
        return frozenset(
            key for key, outcomes in self.outcomes.items() if len(set(outcomes)) > 1 and "missing" not in outcomes
        )

    @property
    def unstable(self) -> frozenset[TestKey]:
        """Tests that cannot be compared one by one."""
        return self.unstable_ids | self.unstable_outcomes

    @property
    def passed(self) -> int:
        """The number of tests that passed in every run, and of cases with unstable ids that passed in each."""
        return self._stable("passed") + min((count["passed"] for count in self._counts), default=0)

    @property
    def reason(self) -> str:
        """Reason why the base commit tells nothing, or an empty string if it tells something."""
        if not self.whole:
            return PROBLEMS[self.first.problem]
        return "" if self.passed else f"no test passes; reported: {len(self.first.cases)}"

    @property
    def errors(self) -> tuple[str, ...]:
        """Quotes of what keeps tests from running."""
        problems = [
            ": ".join(filter(None, (PROBLEMS[run.problem], _end(run.said)))) for run in self.runs if run.problem
        ]
        broken = [case for case in self.first.cases if case.status == "error"]
        if not self.passed and not broken:
            broken = [case for case in self.first.cases if case.status == "failed"]
        quotes = [f"{case.name or case.id}: {_end(case.message)}" for case in broken]
        return tuple(dict.fromkeys([*problems, *quotes]))[:_SHOWN]

    def summary(self) -> BaseSummary:
        """The numbers and a bounded number of examples."""
        # a test that takes a new id in every run is one unstable test, not as many as there were runs
        unstable_ids = max((sum(count.values()) for count in self._counts), default=0)
        early = [place for run in self.whole for place in run.stops_early]
        early += ["said by the runner"] if any(run.cut_short for run in self.whole) else []
        return BaseSummary(
            passed=self._stable("passed"),
            failed=self._stable("failed"),
            skipped=self._stable("skipped"),
            unstable=unstable_ids + len(self.unstable_outcomes),
            runs=len(self.whole),
            cut_short=tuple(dict.fromkeys(early)),
            unstable_ids=_examples({function_of(key[0]) for key in self.unstable_ids}),
            unstable_outcomes=_examples({key[0] for key in self.unstable_outcomes}),
            errors=self.errors,
            reason=self.reason,
        )

    def _stable(self, outcome: Outcome) -> int:
        return sum(set(outcomes) == {outcome} for outcomes in self.outcomes.values())

    @cached_property
    def _counts(self) -> list[Counter[str]]:
        """Outcomes of tests with unstable ids, per run."""
        return [Counter(_outcome(case) for case in run.cases if case.key in self.unstable_ids) for run in self.whole]


async def judge_base(bench: Bench, commit: str) -> BaseJudgement:
    """Run the project's own tests on the base commit, several times, in different folders.

    Policy's `flaky_reruns` is the number of further runs; the second of them needs a difference between the others.

    Effects: judgements that tell something are kept by tree, policy and sandbox, and read from there the next time.
    """
    stored = (bench.bases or bench.scratch.parent) / f"judged-{base_key(bench, commit)}.json"
    await asyncio.to_thread(stored.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
    async with locked(stored.with_suffix(".lock")):  # a caller that waits here takes what the one before it found
        try:
            return _STORED.validate_json(await asyncio.to_thread(stored.read_bytes))
        except (FileNotFoundError, ValidationError):
            pass  # the first judgement of this commit, or one that was cut off while it was written
        return await _judge(bench, commit, stored)


async def _judge(bench: Bench, commit: str, stored: Path) -> BaseJudgement:
    further = bench.policy.grading.flaky_reruns
    runs = [await bench.run(Checkout("base-1", commit, origin="base", fills_caches=not bench.guards))]
    if further and not runs[0].problem:
        runs.append(await bench.run(Checkout("base-again-2", commit, origin="base")))
        if further > 1 and (BaseJudgement(tuple(runs)).unstable or runs[1].problem):
            runs.append(await bench.run(Checkout("base-third-run-3", commit, origin="base")))
    judgement = BaseJudgement(tuple(runs))
    if not judgement.reason and not any(run.problem for run in runs):
        await asyncio.to_thread(store, stored, _STORED.dump_json(judgement))
    return judgement


def function_of(test: str) -> str:
    """A test's id without its parameters, and without what changes from run to run."""
    classname, separator, name = test.partition("::")
    bare = re.split(r"[\[(]", name, maxsplit=1)[0].rstrip() or name
    return f"{classname}{separator}{_VOLATILE.sub('…', bare)}"


def cases_by_function(cases: Iterable[TestCase], compared: frozenset[TestKey]) -> dict[TestKey, Counter[str]]:
    """Outcomes per test function, of the cases that are not compared one by one.

    Args:
        cases: A run's.
        compared: Tests that are compared by their ids.
    """
    counted: dict[TestKey, Counter[str]] = {}
    for case in cases:
        if case.key not in compared:
            counted.setdefault((function_of(case.id), case.file), Counter())[_outcome(case)] += 1
    return counted


def _outcome(case: TestCase) -> Outcome:
    return "failed" if case.status == "error" else case.status


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(readable, sorted(names)[:_SHOWN]))


def _end(text: str) -> str:
    lines = text.splitlines()
    short = "\n".join([line for line in lines if not _REMARK.match(line)] or lines).strip()
    return short if len(short) <= _QUOTE else f"… {short[-_QUOTE:]}"


def base_key(bench: Bench, commit: str) -> str:
    """Key of what a base commit's tests tell: equal for equal trees, commands, sandboxes and characterization tests."""
    policy = bench.policy
    parts = {
        "tree": bench.repository.git.tree_of(commit),
        "project": policy.project.model_dump(mode="json"),
        "sandbox": policy.sandbox.model_dump(mode="json"),
        "runs": policy.grading.flaky_reruns,
        "backend": bench.sandbox.name,
    }
    parts |= {"guards": [file.model_dump(mode="json") for file in bench.guards]} if bench.guards else {}
    return sha256(canonical_json(parts)).removeprefix("sha256:")[:32]


_STORED = TypeAdapter(BaseJudgement)
