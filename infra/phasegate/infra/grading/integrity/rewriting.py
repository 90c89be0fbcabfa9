"""Findings about files of tests that were written to while the tests ran.

Called with a run on the change and those on the base commit, which are the control. It must not know the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.runner.runner import TestRun
from phasegate.infra.workspace.change_set import readable

_CODE = "tests-rewritten"
_NAMED = 10
"""Files that are named at most."""


def about_rewriting(run: TestRun, before: Iterable[TestRun]) -> Iterator[Finding]:
    """Tell of files that the change's run writes to and the base commit's do not.

    Honest work may write to data, a setting that it brings up to date for instance: that is a suspicion.

    Args:
        run: On the change.
        before: On the base commit.
    """
    known = tuple(before)
    usual = set(usually_rewritten(known))
    if {*run.rewritten} - usual:
        message = "test files were written to while the tests ran"
        yield Finding(code=_CODE, message=message, severity="cheating")
    if run.rewritten_data is None or any(base_run.rewritten_data is None for base_run in known if not base_run.problem):
        return
    for path in sorted({*run.rewritten_data} - usual)[:_NAMED]:
        message = "a data file or folder of the tests was written to while they ran, and is not on the base commit"
        yield Finding(code=_CODE, path=readable(path), message=message, severity="suspicion")
    for path in sorted({*run.touched_data} - usual)[:_NAMED]:
        message = "a data file of the tests got a new mode or a link, or was written to and had its time set back"
        yield Finding(code=_CODE, path=readable(path), message=message, severity="suspicion")


def usually_rewritten(before: Iterable[TestRun]) -> Iterator[str]:
    """Files that runs on the base commit write to."""
    for run in before:
        yield from (*run.rewritten, *(run.rewritten_data or ()), *run.touched_data)
