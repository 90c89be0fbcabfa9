"""Measure of how much of the code that a PRD is about is run by base's own tests: where little is, they are thin.

Called by the testing stage before the change exists. A wrong answer costs an agent's attempt, or leaves a change as
guarded as it was. It must not know the change.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phasegate.infra.grading.guards.base_coverage import Covered, covered_lines, own_judgement, product_files
from phasegate.infra.grading.guards.coverage import traced_language
from phasegate.infra.grading.guards.functions import Function, functions_of
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.tree.loading import texts
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.workspace.change_set import readable

_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_QUOTED = re.compile(r"`([^`\n]+)`")
_CODE_LIKE = re.compile(r"[A-Za-z_$][\w$]*(?=\s?\()|\b[a-z]\w*_\w+\b|\b[a-z]+[A-Z]\w*\b|\b[A-Z][a-z0-9]+[A-Z]\w*\b")
_PATH = re.compile(r"[\w.@-]+(?:/[\w.@-]+)+|[\w-]+\.[A-Za-z]{1,4}\b")
_SHOWN = 8
_FUNCTIONS = 5
"""Functions of a file beyond which naming it by a common word counts for nothing."""


Named = Mapping[str, Sequence[Function]]
"""Files that a text is about, each with those of its functions that the text names; none: the whole file."""


@dataclass(frozen=True)
class ThinTests:
    """Place where base's own tests are thin."""

    reason: str
    """The measure, in a sentence."""
    places: tuple[str, ...]
    """Code that the PRD is about, as `path` or `path::function`; the first ones only."""


async def find_thin_tests(bench: Bench, commit: str, text: str) -> ThinTests | None:
    """Tell if base's own tests run too little of what a text is about.

    Args:
        bench: Where tests are run; its policy holds the share that is enough.
        commit: The base commit.
        text: The PRD and the ticket.

    Returns:
        The reason, or `None` if the tests suffice or nothing can be measured.

    Raises:
        ServiceFailed: A service that the tests need does not come up.

    Effects: a run of the tests that traces them, kept for later.
    """
    judgement = await own_judgement(bench, commit)
    files = await asyncio.to_thread(product_files, bench, commit)
    if not files or judgement.first.problem == "setup-failed":  # which another finding says
        return None
    named = await asyncio.to_thread(_named, bench, commit, files, text)
    if not judgement.passed:
        reason = "No test of the project passes on base."
    elif bench.policy.grading.coverage:
        reason = await _measured(bench, commit, files, named)
    else:
        reason = ""
    places = tuple(_places(named)) or tuple(map(readable, files[:_SHOWN]))
    return ThinTests(reason, places) if reason else None


async def _measured(bench: Bench, commit: str, files: Sequence[str], named: Named) -> str:
    """Reason why tests that pass do not suffice, or an empty string if they do."""
    about = named or dict.fromkeys(files, ())
    there, run = _count(await covered_lines(bench, commit, about), about)
    if there:
        scope = "the code that the PRD names" if named else "the product"
        is_thin = run / there < bench.policy.grading.characterize_below
        return f"The project's tests run {run} of {there} lines of {scope} on base." if is_thin else ""
    untested = await asyncio.to_thread(_without_tests, bench, commit, named)
    listed = ", ".join(map(readable, untested[:_SHOWN]))
    return f"No test of the project stands beside or names {listed}." if untested else ""


def _named(bench: Bench, commit: str, files: Sequence[str], text: str) -> dict[str, tuple[Function, ...]]:
    quoted = " ".join(_QUOTED.findall(text))
    words = {*_WORD.findall(quoted), *_CODE_LIKE.findall(text)}
    paths = {*_PATH.findall(text), *_PATH.findall(quoted)}
    by_path: dict[str, tuple[Function, ...]] = {}
    content = texts(bench.repository, commit, files)
    for path in files:
        functions = functions_of(path, content.get(path, ""))
        own = tuple(
            function
            for function in functions
            if not words.isdisjoint({function.name, function.name.rpartition(".")[2]})
        )
        stem = path.rpartition("/")[2].partition(".")[0]
        is_named = any(path == name or path.endswith(f"/{name}") for name in paths)
        if own or is_named or (stem in words and len(functions) <= _FUNCTIONS):
            by_path[path] = own
    return by_path


def _places(named: Named) -> Iterator[str]:
    places = [f"{path}::{function.name}" for path, own in named.items() for function in own]
    places += [path for path, own in named.items() if not own]
    yield from map(readable, places[:_SHOWN])


def _count(covered: Covered, named: Named) -> tuple[int, int]:
    """Lines with code, and those of them that tests run."""
    there = run = 0
    for path, functions in named.items():
        for line in covered.get(path, {}).get("there", ()):
            if not functions or any(function.start <= line <= function.end for function in functions):
                there += 1
                run += line in covered[path]["run"]
    return there, run


def _without_tests(bench: Bench, commit: str, paths: Collection[str]) -> list[str]:
    """Files that no test lies beside, and that no test names by a word."""
    tests = [path for path in bench.repository.files(commit) if is_test_file(path)]
    folders = {path.rpartition("/")[0] for path in tests}
    words = {word for text in texts(bench.repository, commit, tests).values() for word in _WORD.findall(text)}
    left = [path for path in paths if path.rpartition("/")[0] not in folders and not traced_language(path)]
    return [path for path in left if path.rpartition("/")[2].partition(".")[0] not in words]
