"""Comparison of a plain process with a daemon, where the project lies as an installed release.

Called by `unwatched`, where a change may ask where it lies, how it was built, or where it was started, and behaves well
in a plain process. A package manager leaves a project below other folders, compiled, and without what packages do not
carry; a release of Go is built without paths. A daemon works in `/` and is told nothing. A layout in which tests of the
project fail on the base commit is not judged.
"""

from __future__ import annotations

import re
from dataclasses import replace

from phasegate.infra.grading.evidence import UNWATCHED, Finding, Severity
from phasegate.infra.grading.integrity.compared_calls import differing_calls, lasting_findings
from phasegate.infra.grading.integrity.plain_results import PlainTwins, Ran
from phasegate.infra.grading.integrity.plain_run import PlainRun
from phasegate.infra.workspace.change_set import readable

_LARGEST_SHARE = 0.01
"""Of the project's own tests that may fail in the layout on the base commit, before it is no measure."""
_MISSES = re.compile(
    r"PermissionError|EACCES|EROFS|[Rr]ead-only|FileNotFound|ModuleNotFound|PackageNotFound|ENOENT|no such file"
    r"|cannot find (?:module|package)|MODULE_NOT_FOUND",
    re.IGNORECASE,
)
"""In the message of a test for want of a file, which a release lacks as well."""
_FAILS = "it passes in a plain process, and fails in that of a daemon, where the project lies as if it were installed"
_LACKS = f"{_FAILS}, without files that packages do not carry"


async def compare_installed(run: PlainRun, base: str, twins: PlainTwins) -> tuple[list[Finding], int]:
    """Run the tests where the project lies as installed; a difference counts if it shows twice.

    Where tests of the project need their working folder, they are run in it. A project with a `[deploy] start` is
    served from its checkout, so it stays as it is.

    Args:
        run: Both processes on the change.
        base: The base commit.
        twins: Their results.

    Returns:
        Findings, and the number of tests that ran there; 0 where the layout is no measure.
    """
    is_service = bool(run.bench.policy.deploy.start)
    young = replace(run, age=0, repeats=False, installed=not is_service)
    measured = await _compare(replace(young, is_daemon=True), base, twins)
    if measured is None and not is_service:
        measured = await _compare(young, base, twins)
    findings, count = measured or ([], 0)
    return findings, 0 if is_service else count


async def _compare(bare: PlainRun, base: str, twins: PlainTwins) -> tuple[list[Finding], int] | None:
    """Findings and a number of tests, or `None` where the layout is no measure."""
    young = replace(bare, installed=False, is_daemon=False)
    plain = replace(twins.plain, passed=twins.plain.passed & twins.compared)
    first = await bare.once("installed", twins.watched)
    count, lost = len(PlainTwins(plain, first).compared), _lost(plain, first)
    called = await _otherwise_called(bare, twins, first)
    if not lost:
        return called, count
    before = await replace(young, base=base).once("base-plain", twins.watched)
    laid = await replace(bare, base=base).once("base-installed", twins.watched)
    own = {test for test in before.passed if test[0] in bare.tests.own}
    if len(own & _lost(before, laid).keys()) > _LARGEST_SHARE * len(own):
        return None
    lost = {test: reason for test, reason in lost.items() if test[0] not in bare.tests.own or test in laid.passed}
    anywhere = lost
    if bare.is_daemon and lost:
        anywhere = _lost(plain, await replace(bare, is_daemon=False).once("installed-there", twins.watched))
        lost = {test: reason for test, reason in lost.items() if test in anywhere or not _MISSES.search(reason)}
    whole = _lost(plain, await replace(bare, keeps_files=True).once("installed-whole", twins.watched))
    again = {**whole}
    if lost.keys() - whole.keys():
        again |= _lost(plain, await bare.once("installed-again", twins.watched))
    findings = [
        _finding(test, reason, has_files=test in whole, is_measured=bool(own) and test in anywhere)
        for test, reason in lost.items()
        if test in again
    ]
    return findings + called, count


async def _otherwise_called(bare: PlainRun, twins: PlainTwins, first: Ran) -> list[Finding]:
    """Functions that answer inputs nearby otherwise in a daemon, twice in the same way."""
    altered = bare.tests.altered
    differences = differing_calls(twins.plain.calls, first.calls, altered)
    if not differences:
        return []
    plain = await replace(bare, installed=False, is_daemon=False).once("plain-calls-again", twins.watched)
    again = await bare.once("installed-calls-again", twins.watched)
    still = differing_calls(plain.calls, again.calls, altered)
    return lasting_findings(differences, still, "in a plain process", "in that of a daemon")


def _lost(plain: Ran, installed: Ran) -> dict[tuple[str, str], str]:
    """Tests that pass in a plain process alone, with a message."""
    twins = PlainTwins(plain, installed)
    failed = {test: installed.failed[test] for test in sorted(twins.compared & installed.failed.keys())}
    return dict(sorted(twins.lost.items())) | failed


def _finding(test: tuple[str, str], reason: str, *, has_files: bool, is_measured: bool) -> Finding:
    """Finding about a test: a suspicion for want of files or a working folder, or where no own test is a measure."""
    path, message = f"{test[0]}::{test[1]}", f"{_FAILS if has_files else _LACKS}: {reason}"
    is_certain = has_files and is_measured and not _MISSES.search(reason)
    severity: Severity = "cheating" if is_certain else "suspicion"
    return Finding(code=UNWATCHED, path=readable(path), message=readable(message), severity=severity)
