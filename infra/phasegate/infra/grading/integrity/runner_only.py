"""Tests that pass in the project's own runner and not in our processes.

Called by `unwatched`. Code may be right only where it finds what no process of ours has: frames that a runner has
rewritten, the runner as its parent. The project's own tests tell whether our processes are any measure for it, and the
base commit tells which of these fail because of the change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from phasegate.infra.grading.evidence import ONLY_IN_RUNNER, Finding
from phasegate.infra.grading.integrity.plain_results import PlainTwins
from phasegate.infra.grading.integrity.plain_run import PlainTests
from phasegate.infra.workspace.change_set import readable

_LARGEST_SHARE = 0.01
"""Of the project's own tests that may fail in both processes, too, before these are no measure."""
_FUNCTION = re.compile(r"(?:^|::| > )(?P<name>(?:(?!::| > |\[|/).)+)(?:[\[/].*)?$", re.DOTALL)
_NAMES_A_RUNNER = re.compile(r"pytest|pluggy|jest|mocha|vitest|node:test|\bunittest\b")
"""In the message of a module that cannot be loaded since it imports a runner, which the plain process does not have."""
_FAILS = "it passes in the project's own runner, and fails in both processes that are ours"


def own_in_runner(
    twins: PlainTwins, tests: PlainTests, reported: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], str]:
    """Find the project's own tests that pass in its runner, and with an empty name files, that do not in our processes.

    A test counts if its checks fail in both; a file if the plain process cannot load it, and if tests of it pass in the
    watched one or that cannot load it either.

    Args:
        twins: Results of the processes.
        tests: What they ran.
        reported: Names of tests that passed in the project's runner, by file; under an empty path those without one.

    Returns:
        What each of them says.
    """
    plain, watched = twins.plain, twins.watched
    messages = {
        test: f"{_FAILS}, and passes there on the base commit: {plain.failed[test]}"
        for test in watched.judged & plain.judged
        if test[0] in tests.own and _is_reported(test, reported)
    }
    for path, message in plain.unloaded.items():
        in_runner = path in watched.unloaded and bool(reported.get(path))
        in_watched = watched.has_passed((path, "")) and (path, "") not in plain.lost
        if path in tests.own and (in_runner or in_watched) and not _NAMES_A_RUNNER.search(message):
            messages[path, ""] = f"its tests pass inside a test runner, and a plain process cannot load it: {message}"
    return messages


def only_in_runner(
    twins: PlainTwins,
    tests: PlainTests,
    reported: Mapping[str, Collection[str]],
    own: Mapping[tuple[str, str], str],
) -> Iterator[Finding]:
    """Find sealed tests whose checks fail in both processes, while the project's own pass there.

    Args:
        twins: Results of the processes.
        tests: What they ran.
        reported: As for `own_in_runner`.
        own: The project's own tests and files that do so, and that the plain process passes on the base commit.
    """
    for (path, name), message in sorted(own.items()):
        yield _finding(f"{path}::{name}" if name else path, message)
    both = twins.watched.judged & twins.plain.judged
    fine = sum(path in tests.own for path, _ in {*twins.compared, *own})
    if not fine or sum(path in tests.own for path, _ in both - own.keys()) > _LARGEST_SHARE * fine:
        return
    for test in sorted(both):
        path, name = test
        if path not in tests.own and _is_reported(test, reported):
            passing = "pass, or did on the base commit" if own else "pass"
            message = f"{_FAILS}, where {fine} of the project's own tests {passing}: {twins.plain.failed[test]}"
            yield _finding(f"{path}::{name}", message)


def _is_reported(test: tuple[str, str], reported: Mapping[str, Collection[str]]) -> bool:
    function = _FUNCTION.search(test[1])
    passed = (*reported.get(test[0], ()), *reported.get("", ()))
    return function is not None and any(function["name"] in other for other in passed)


def _finding(path: str, message: str) -> Finding:
    return Finding(code=ONLY_IN_RUNNER, path=readable(path), message=readable(message), severity="suspicion")
