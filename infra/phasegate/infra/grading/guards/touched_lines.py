"""Lines of base that a change touches, and those of them that no test of the project ran.

Called by `grade` where base's own tests are thin. It must not know the verdict.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby

from phasegate.infra.grading.guard_summary import GuardSummary, TouchedLines
from phasegate.infra.grading.guards.base_coverage import Covered, covered_lines, source_of
from phasegate.infra.grading.guards.functions import functions_of, statement_lines
from phasegate.infra.grading.guards.guarding import Guarding
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.grading.tree.graded_tree import GradedTree, product_hunks
from phasegate.infra.workspace import ChangeSet
from phasegate.infra.workspace.change_set import readable


async def with_touched_lines(
    guarding: Guarding, change: ChangeSet, graded: GradedTree, cases: Iterable[TestCase]
) -> GuardSummary | None:
    """Summary of the characterization tests, with the touched lines of base, or `None` if base's own tests suffice.

    Args:
        guarding: The characterization tests on base.
        change: What is graded.
        graded: Its graded tree.
        cases: Outcomes on the change.
    """
    summary = guarding.summary(cases)
    if summary is None:
        return None
    touched = await count_touched(guarding.bench, change.base_commit, graded, runs_none=not summary.project_passed)
    return summary.model_copy(update={"touched": touched})


async def count_touched(bench: Bench, base: str, graded: GradedTree, *, runs_none: bool) -> TouchedLines | None:
    """Count the lines of base that a change alters or removes, with the functions around them.

    Args:
        bench: Where tests are run.
        base: The base commit.
        graded: The change.
        runs_none: True if no test of the project passes on base, so that none of the lines counts as run.

    Returns:
        The count, or `None` if policy wants no coverage measured.
    """
    if not runs_none and not bench.policy.grading.coverage:
        return None
    touched = await asyncio.to_thread(_touched, bench, base, graded)
    covered: Covered = {} if runs_none else await covered_lines(bench, base, touched)
    unmeasured = [] if runs_none else [path for path in touched if path not in covered]
    measured = {path: lines for path, lines in touched.items() if path not in unmeasured}
    not_run = (len(lines - set(covered.get(path, {}).get("run", ()))) for path, lines in measured.items())
    return TouchedLines(
        total=sum(map(len, measured.values())), not_run=sum(not_run), unmeasured=tuple(map(readable, unmeasured))
    )


def _touched(bench: Bench, base: str, graded: GradedTree) -> dict[str, set[int]]:
    touched: dict[str, set[int]] = {}
    with bench.repository.reading():
        for path, hunks in groupby(product_hunks(bench.repository, base, graded), key=lambda hunk: hunk.path):
            if is_code(path) and (text := source_of(bench, base, path)):
                touched[path] = _around(list(hunks), path, text)
    return {path: lines for path, lines in touched.items() if lines}


def _around(hunks: Sequence[Hunk], path: str, text: str) -> set[int]:
    """Lines with code of base that the pieces of a file's change alter, and of the functions that they lie in."""
    # lines that are only added make an empty span between the two lines that they stand between
    spans = [_span(hunk, text) for hunk in hunks]
    ends = [last for _, last in spans]  # pieces of a file come in order, and none overlaps another
    functions = ((function.start, function.end) for function in functions_of(path, text))
    nearest = ((start, end, bisect_left(ends, start)) for start, end in functions)
    around = [(start, end) for start, end, at in nearest if at < len(spans) and spans[at][0] <= end]
    inside = {line for start, end in (*spans, *around) for line in range(start, end + 1)}
    return {line for line in statement_lines(path, text) if line in inside}


def _span(hunk: Hunk, text: str) -> tuple[int, int]:
    """First and last line of base that a piece of a change alters."""
    if hunk.start == 0:  # the whole file
        return 1, len(text.splitlines())
    return hunk.old_start + 1, hunk.old_start + len(hunk.removed)
