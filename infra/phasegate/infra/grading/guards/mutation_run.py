"""Runs of characterization tests against mutants of the code they name: a test that none of them breaks checks nothing.

Called before characterization tests are sealed, on the base commit. It must not know who wrote them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from phasegate.infra.grading.characterization import CharacterizationFile
from phasegate.infra.grading.guards.base_coverage import source_of
from phasegate.infra.grading.guards.mutants import Mutant, mutants_of
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.runner.runner import Bench, Checkout, Prepared, TestRun
from phasegate.infra.grading.sealed_tests import SealedFile
from phasegate.infra.grading.tree.graded_tree import commit_with

_MOST = 10
"""Mutants tried for one file of tests."""
_MOST_SET_UP = 2
"""Of these, mutants tried once more with a setup of their own: an installed copy of the product hides the others."""
_LONGEST = timedelta(minutes=15)


@dataclass
class Trials:
    """Mutants tried so far."""

    tried: dict[str, list[Mutant]] = field(default_factory=dict[str, list[Mutant]])
    """Per file of tests, those of the code it names."""
    killed: set[str] = field(default_factory=set[str])
    """Files of tests that noticed one."""

    @property
    def surviving(self) -> dict[str, list[Mutant]]:
        """Per file of tests that noticed none, what was tried."""
        return {path: mutants for path, mutants in self.tried.items() if path not in self.killed}


class _Uncached:
    """Keeps Python from taking a mutant for the file it was made of, whose compiled form has the same age and size."""

    def prepare(self, folder: Path, inside: Path) -> dict[str, str]:
        """As the port says."""
        return {"PYTHONDONTWRITEBYTECODE": "1"}

    def read(self, folder: Path, checkout: Path, inside: Path) -> None:
        """As the port says."""


async def try_mutants(
    bench: Bench, commit: str, files: Sequence[CharacterizationFile], cases: Mapping[str, Sequence[TestCase]]
) -> Trials:
    """Run characterization tests against mutants until each file of them has noticed one.

    Args:
        bench: Where; it has the tests as guards.
        commit: The base commit.
        files: The tests.
        cases: Their outcomes on the base commit, per file.

    Returns:
        What was tried, and which files noticed something.
    """
    trials = Trials()
    sources = {path: source_of(bench, commit, path) for file in files for path, _ in covered(file)}
    mutants = await asyncio.to_thread(lambda: {file.path: mutants_for(file, sources) for file in files})
    try:
        async with asyncio.timeout(_LONGEST.total_seconds()):
            async with bench.prepared(Checkout("mutants", commit, origin="base")) as ready:
                for file, mutant in _in_turn(files, mutants, _MOST):
                    if file.path not in trials.killed:
                        run = await _run(bench, commit, ready, sources, mutant)
                        _note(trials, file, mutant, run, files, cases)
            if bench.policy.project.setup:
                for file, mutant in _in_turn(files, mutants, _MOST_SET_UP):
                    if file.path not in trials.killed:
                        tree = commit_with(
                            bench.repository, commit, {mutant.path: mutant.content.encode()}, base=commit
                        )
                        run = await bench.run(Checkout("mutant", tree), _Uncached())
                        _note(trials, file, mutant, run, files, cases)
    except TimeoutError:
        pass  # a file that nothing was tried for is not held against its author
    return trials


def covered(file: CharacterizationFile) -> Iterator[tuple[str, str]]:
    """Path and function of the code that a file names; no function: the whole file."""
    for name in file.covers:
        path, _, function = name.partition("::")
        yield path, function.replace("::", ".")


def mutants_for(file: CharacterizationFile, sources: Mapping[str, str]) -> list[Mutant]:
    """Make the mutants of the code that a file of tests names."""
    names: dict[str, set[str]] = {}
    for path, function in covered(file):
        names.setdefault(path, set()).add(function)
    return [
        mutant for path, own in names.items() for mutant in mutants_of(path, sources[path], () if "" in own else own)
    ]


def _in_turn(
    files: Sequence[CharacterizationFile], mutants: Mapping[str, Sequence[Mutant]], most: int
) -> Iterator[tuple[CharacterizationFile, Mutant]]:
    for file in files:
        candidates = mutants[file.path]
        step = max(1, len(candidates) // most)
        ahead = candidates[: most // 2]
        spread = [mutant for mutant in candidates[::step] if mutant not in ahead]
        yield from ((file, mutant) for mutant in [*ahead, *spread][:most])


async def _run(bench: Bench, commit: str, ready: Prepared, sources: Mapping[str, str], mutant: Mutant) -> TestRun:
    contents = {**sources, mutant.path: mutant.content}
    planted = tuple(SealedFile(path=path, content=content, criteria=()) for path, content in contents.items())
    bench.on_step(f"trying a fault in {mutant.path}, line {mutant.line}")
    return await bench.quiet.run_again(Checkout("mutants", commit, planted=planted), ready, _Uncached())


def _note(
    trials: Trials,
    file: CharacterizationFile,
    mutant: Mutant,
    run: TestRun,
    files: Sequence[CharacterizationFile],
    cases: Mapping[str, Sequence[TestCase]],
) -> None:
    trials.tried.setdefault(file.path, []).append(mutant)
    failed: set[TestKey] = {case.key for case in run.cases if case.status in ("failed", "error")}
    for other in files:
        names = {path for path, _ in covered(other)}
        passing = {case.key for case in cases.get(other.path, ()) if case.status == "passed"}
        if mutant.path in names and not failed.isdisjoint(passing):
            trials.killed.add(other.path)
