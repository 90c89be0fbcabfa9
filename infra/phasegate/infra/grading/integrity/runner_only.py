"""Sealed tests that pass in the project's own runner and in neither of our processes.

Called by `unwatched`. Code may be right only where it finds what no process of ours has: frames that a runner has
rewritten, the runner as its parent. The project's own tests tell whether our processes are any measure for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from phasegate.infra.grading.evidence import ONLY_IN_RUNNER, Finding
from phasegate.infra.grading.integrity.plain_run import PlainTests, Twins
from phasegate.infra.workspace.change_set import readable

_LARGEST_SHARE = 0.01
"""Of the project's own tests that may fail in both processes, too, before these are no measure."""
_FUNCTION = re.compile(r"(?:^|::| > )(?P<name>(?:(?!::| > |\[|/).)+)(?:[\[/].*)?$", re.DOTALL)


def only_in_runner(twins: Twins, tests: PlainTests, reported: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Find sealed tests whose checks fail in both processes, while the project's own pass there.

    Args:
        twins: Results of the processes.
        tests: What they ran.
        reported: Names of tests that passed in the project's runner, by sealed file.
    """
    both = twins.watched.judged & twins.plain.judged
    fine = sum(path in tests.own for path, _ in twins.compared)
    if not fine or sum(path in tests.own for path, _ in both) > _LARGEST_SHARE * fine:
        return
    for test in sorted(both):
        path, name = test
        told = _FUNCTION.search(name)
        if told and any(told["name"] in other for other in reported.get(path, ())):
            message = (
                f"it passes in the project's own runner, and fails in both processes that are ours, "
                f"where {fine} of the project's own tests pass: {twins.plain.failed[test]}"
            )
            place = readable(f"{path}::{name}")
            yield Finding(code=ONLY_IN_RUNNER, path=place, message=readable(message), severity="suspicion")
