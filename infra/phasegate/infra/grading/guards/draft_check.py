"""Reasons to send characterization tests back to their author: each test is tried on base before it is sealed.

Called by the testing stage at `finish`. It must not know what an implementer does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from phasegate.infra.errors import SetupFailed
from phasegate.infra.grading.characterization import CharacterizationFile
from phasegate.infra.grading.guards.base_coverage import source_of
from phasegate.infra.grading.guards.functions import functions_of
from phasegate.infra.grading.guards.guarding import run_guards
from phasegate.infra.grading.guards.mutation_run import covered, mutants_for, try_mutants
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedFile
from phasegate.infra.grading.tree.patterns import is_test_file

_QUOTE = 800
_SHOWN = 6
_SURVIVED = (
    "passes with each of {count} faults in the code it names, such as {example}. Assert what the code gives back or "
    "leaves behind, and name in `covers` the code that the tests run."
)


async def draft_problems(
    bench: Bench,
    commit: str,
    files: Sequence[CharacterizationFile],
    *,
    criteria: Iterable[str],
    sealed: Iterable[str],
) -> dict[str, list[str]]:
    """Try characterization tests on the base commit, and tell what is wrong with them, a sentence or two each.

    Args:
        bench: Where tests are run.
        commit: The base commit.
        files: The tests.
        criteria: Ids of the PRD's criteria, which no such test may cite.
        sealed: Paths of the sealed acceptance tests.

    Returns:
        Problems per file, those of all files together under an empty name, or none if each test passes in every run
        and each file notices a mutant of the code it names.

    Raises:
        ServiceFailed: A service that the tests need does not come up.
        SetupFailed: The setup command fails on the base commit.
    """
    problems: dict[str, list[str]] = {}
    reading = partial(_by_reading, bench, commit, files, tuple(criteria), set(sealed))
    for path, problem in await asyncio.to_thread(lambda: list(reading())):
        problems.setdefault(path, []).append(problem)
    if problems:
        return problems
    guards = tuple(SealedFile(path=file.path, content=file.content, criteria=()) for file in files)
    plain, runs = await run_guards(bench, commit, guards, several=True)
    if plain.first.problem == "setup-failed":
        raise SetupFailed(f"the setup command fails on the base commit: {plain.first.said}")
    if runs.problem:
        return {"": [_cut(f"On the base commit, {runs.problem}")]}
    for path, lines in runs.failing.items():
        problems[path] = [_cut(f"does not pass in every run on the base commit: {line}") for line in lines[:_SHOWN]]
    for file in files:
        if not runs.cases.get(file.path):
            problems[file.path] = ["the project's test command reports no test of it."]
    if problems:
        return problems
    trials = await try_mutants(replace(bench, guards=guards), commit, files, runs.cases)
    return {
        path: [_SURVIVED.format(count=len(mutants), example=mutants[0])] for path, mutants in trials.surviving.items()
    }


def _by_reading(
    bench: Bench, commit: str, files: Sequence[CharacterizationFile], criteria: Sequence[str], sealed: set[str]
) -> Iterator[tuple[str, str]]:
    there = set(bench.repository.files(commit))
    seen = set(sealed)
    for file in files:
        if file.path in there or file.path in seen:
            yield file.path, "a file of this name exists already; use another name."
        seen.add(file.path)
        if not is_test_file(file.path):
            yield file.path, "not named as a test; name it and place it as the project's tests would be."
        for id_ in criteria:
            if re.search(rf"(?<![A-Za-z0-9]){re.escape(id_)}(?![A-Za-z0-9])", file.content, re.IGNORECASE):
                yield file.path, f"cites criterion {id_}; pin what holds today and the PRD leaves alone."
        unknown = list(_unknown(bench, commit, file, there))
        yield from ((file.path, problem) for problem in unknown)
        sources = {path: source_of(bench, commit, path) for path, _ in covered(file)}
        if not unknown and not mutants_for(file, sources):
            yield file.path, "the code in `covers` has nothing in it that could go wrong; name code that computes."


def _unknown(bench: Bench, commit: str, file: CharacterizationFile, there: set[str]) -> Iterator[str]:
    for path, function in covered(file):
        if path not in there:
            yield f"`covers` names {path}, which is no file of the base commit."
        elif is_test_file(path):
            yield f"`covers` names {path}, which is a test; name product code."
        elif function:
            known = functions_of(path, source_of(bench, commit, path))
            if not any(definition.is_called(function) for definition in known):
                names = (
                    ", ".join(definition.name for definition in known[:12]) or "none that can be found by reading it"
                )
                yield f"`covers` names {path}::{function}; functions of {path}: {names}."


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTE else f"{text[:_QUOTE]} …"
