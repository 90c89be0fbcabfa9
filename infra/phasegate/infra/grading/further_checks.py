"""Further checks of a change whose tests pass: a plain process, each piece taken out, changed lines that the tests run.

Called by `grade`. It must not know how the verdict is put into a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.amendment_run import Amending, regressions_of_refused, unguarded_replacements
from phasegate.infra.grading.change_run import Trial
from phasegate.infra.grading.evidence import Ablation, Coverage, Finding
from phasegate.infra.grading.guards.ablation import ablate
from phasegate.infra.grading.guards.coverage import CoverageMeasurement, measure
from phasegate.infra.grading.integrity.findings import about_load
from phasegate.infra.grading.integrity.own_files import own_test_files
from phasegate.infra.grading.integrity.unwatched import compare_unwatched
from phasegate.infra.grading.own_tests import Released
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.served.served_check import check_served
from phasegate.infra.grading.served_summary import ServedSummary
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.unwatched_summary import Unwatched


@dataclass(frozen=True)
class Passed:
    """A change whose tests pass."""

    base: str
    """The base commit."""
    graded: GradedTree
    sealed: SealedTests
    trial: Trial
    released: Released
    measurement: CoverageMeasurement | None
    """Coverage that may have been measured already; `None`: nothing to measure."""
    own_files: Collection[str]
    """Files that the project's own tests are reported from."""
    passing: Sequence[SealedFile]
    """Sealed files whose tests all pass."""
    seconds: float
    """Time that its tests took."""


@dataclass(frozen=True)
class FurtherChecks:
    """Outcome of these checks."""

    amending: Amending
    ablation: Ablation | None = None
    coverage: Coverage | None = None
    unwatched: Unwatched | None = None
    served: ServedSummary | None = None
    findings: tuple[Finding, ...] = ()
    failed: bool = False


async def check_further(bench: Bench, passed: Passed, amending: Amending) -> FurtherChecks:
    """Run the checks that policy asks for, until one fails the grade.

    Args:
        bench: Where.
        passed: The change.
        amending: Its amended tests; one whose replacement turns out to guard nothing is refused.
    """
    grading, checks = bench.policy.grading, FurtherChecks(amending)
    if grading.plain_process:
        sealed = SealedTests(files=tuple(passed.passing))
        sealed_cases = passed.trial.told.sealed
        reported = {
            path: {case.name for case in cases if case.status == "passed"} for path, cases in sealed_cases.items()
        }
        for case in passed.trial.told.project:
            if case.status == "passed":
                reported.setdefault(case.file or "", set()).add(case.name)
        own = await asyncio.to_thread(
            own_test_files,
            bench.repository,
            passed.base,
            passed.graded,
            passed.trial.told.project,
            passed.own_files,
            {file.path for file in (*passed.sealed.files, *bench.guards)},
        )
        plain = await compare_unwatched(bench, passed.base, passed.graded, sealed, own, passed.seconds, reported)
        failed = any(finding.severity == "cheating" for finding in plain.findings)
        checks = replace(checks, unwatched=plain.summary, findings=plain.findings, failed=failed)
    if grading.served and not checks.failed:
        asked = await check_served(bench, passed.base, passed.graded, passed.sealed, passed.own_files, passed.seconds)
        if asked is not None:
            failed = any(finding.severity == "cheating" for finding in asked.findings)
            findings = (*checks.findings, *asked.findings)
            checks = replace(checks, served=asked.summary, findings=findings, failed=failed)
    if grading.ablation_time and not checks.failed:
        cases = [*passed.trial.told.project, *(case for own in passed.trial.told.sealed.values() for case in own)]
        green = [case.key for case in cases if case.status == "passed"]
        ablation, red = await ablate(bench, passed.base, passed.graded, passed.sealed, green)
        checks = replace(checks, ablation=ablation)
        if not ablation.untried:
            kept = unguarded_replacements(amending, passed.trial.told, red)
            checks = replace(checks, amending=kept, failed=any(regressions_of_refused(kept)))
    if grading.coverage and not checks.failed:
        is_seen = bool(passed.released.entered)
        measured = await measure(bench, passed.measurement, passed.graded, passed.sealed, is_seen=is_seen)
        findings = (*checks.findings, *map(about_load, measured.loads))
        checks = replace(checks, coverage=measured.coverage, findings=findings, failed=bool(measured.loads))
    return checks
