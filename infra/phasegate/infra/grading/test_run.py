"""One run of a project's tests on a clean checkout, in the sandbox.

Called by `grade`. It must not know which run it is, or what follows from the outcome.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.grading.junit import ReportUnreadable, TestCase, clean, read_report
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.test_files import is_test_file
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox
from phasegate.infra.workspace import Repository


@dataclass(frozen=True)
class TestRun:
    """What came of it."""

    __test__ = False  # pytest would take it for a test

    cases: tuple[TestCase, ...] = ()
    problem: str = ""
    """Why there are no cases, as a finding's code: setup-failed, tests-timed-out, no-junit-report or
    junit-unreadable; empty: the tests ran and reported."""
    said: str = ""
    """The end of the output, where there is a problem."""


@dataclass(frozen=True)
class Checkout:
    """What is to be tested."""

    name: str
    """The folder's name in the scratch folder."""
    commit: str
    base: str = ""
    restored: Sequence[str] = ()
    """Paths that are to be as in `base`."""
    sealed: SealedTests | None = None
    """Acceptance tests to put in, after the setup command has run."""


@dataclass(frozen=True)
class Bench:
    """Where and how tests are run."""

    repository: Repository
    policy: Policy
    sandbox: Sandbox
    scratch: Path
    on_step: Callable[[str], None]

    async def run(self, checkout: Checkout) -> TestRun:
        """Make the checkout, set it up, run the tests, read their report and clear everything away."""
        place = self.scratch / checkout.name
        folder, report = place / "checkout", place / "report"
        shutil.rmtree(place, ignore_errors=True)
        try:
            self._export(checkout, folder)
            report.mkdir()
            return await self._run(checkout, folder, report)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    async def _run(self, checkout: Checkout, folder: Path, report: Path) -> TestRun:
        project = self.policy.project
        if project.setup:
            self.on_step(f"{checkout.name}: setting up")
            done = await self.sandbox.run(
                project.setup, folder=folder, timeout=project.test_timeout, network=self.policy.sandbox.setup_network
            )
            if done.exit_code != 0:
                return TestRun(problem="setup-failed", said=clean(done.output, folder))
            # the change's own setup has run: whatever it did to the tests is undone
            self._export(checkout, folder, only=is_test_file)
        if checkout.sealed:
            checkout.sealed.write_into(folder)
        self.on_step(f"{checkout.name}: running the tests")
        file = report / "junit.xml"
        done = await self.sandbox.run(
            project.test.replace("{junit}", shlex.quote(str(file))),
            folder=folder,
            timeout=project.test_timeout,
            writable=[report],
        )
        said = clean(done.output, folder)
        if done.timed_out:
            return TestRun(problem="tests-timed-out", said=said)
        try:
            cases = tuple(read_report(file, folder))
        except ReportUnreadable as error:
            return TestRun(problem="junit-unreadable", said=f"{error}\n{said}")
        return TestRun(cases) if cases else TestRun(problem="no-junit-report", said=said)

    def _export(self, checkout: Checkout, folder: Path, *, only: Callable[[str], bool] | None = None) -> None:
        self.repository.export(checkout.commit, folder, base=checkout.base, reinstated=checkout.restored, only=only)
