"""One run of a project's tests on a clean checkout, in the sandbox.

Called by `grade`, ablation and coverage. It must not know which run it is, or what follows from the outcome.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shlex
import shutil
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.grading.heldout import laid_in
from phasegate.infra.grading.junit import TestCase, clean, read_report, said_in_report
from phasegate.infra.grading.runner.fail_fast import ENVIRONMENT, cut_short, switched_off
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.patterns import is_test_file, steers_tests
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox, run_setup, run_with_services
from phasegate.infra.workspace import Repository

_TEST_CODE = (".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".go", ".java", ".kt", ".rb", ".php", ".rs", ".cs")
SERVICE_FAILED = "service-failed"
PROBLEMS = {
    "setup-failed": "the setup command fails",
    SERVICE_FAILED: "a service that the tests need does not come up",
    "tests-timed-out": "the tests do not end within `project.test_timeout`",
    "no-junit-report": "the test command writes no JUnit report, or one without a test",
    "junit-unreadable": "the test command's report cannot be read",
}
"""Reasons why a run tells nothing, by their code, as people read them."""
_OF_TOOLS = (".git", ".venv", "venv", ".tox", ".nox", "node_modules")


@dataclass(frozen=True)
class TestRun:
    """What came of it."""

    __test__ = False  # pytest would take it for a test

    cases: tuple[TestCase, ...] = ()
    problem: str = ""
    """Reason why there are no cases, a code of `PROBLEMS`; empty: the tests ran and reported."""
    said: str = ""
    """The end of the output, where there is a problem."""
    exit_code: int = 0
    """The test command's."""
    rewritten: tuple[str, ...] = ()
    """Test files that were written to while the tests ran."""
    cut_short: bool = False
    """True if the runner says that it stopped before the last test."""
    stops_early: tuple[str, ...] = ()
    """Places of options that stop at the first failure, which could not be switched off."""


def require_services(run: TestRun) -> TestRun:
    """The run, if its services came up: where they did not, it says nothing about what was tested.

    Raises:
        ServiceFailed: One did not.
    """
    if run.problem == SERVICE_FAILED:
        raise ServiceFailed(run.said)
    return run


@dataclass(frozen=True)
class Checkout:
    """What is to be tested."""

    name: str
    """The folder's name in the scratch folder."""
    tree: str
    """A commit."""
    belongs_to_tests: Callable[[str], bool] = is_test_file
    """Paths that are written anew once the setup command, which runs the change's code, is through."""
    sealed: SealedTests | None = None
    """Acceptance tests to put in, after that."""
    planted: tuple[SealedFile, ...] = ()
    """Further test files to put in."""


@dataclass(frozen=True)
class Prepared:
    """A checkout in which commands can be run."""

    folder: Path
    report: Path
    """An empty folder for files that commands leave."""
    failure: TestRun | None = None
    """Result of a setup that failed; `None`: it is set up."""


class Probe(Protocol):
    """Watches a run of the tests."""

    def prepare(self, folder: Path, checkout: Path) -> dict[str, str]:
        """Put into a folder what the tests' processes are to load, and return their environment for it."""
        ...

    def read(self, folder: Path, checkout: Path) -> None:
        """Read what they left there; untrusted."""
        ...


@dataclass(frozen=True)
class Bench:
    """Where and how tests are run."""

    repository: Repository
    policy: Policy
    sandbox: Sandbox
    scratch: Path
    on_step: Callable[[str], None]
    bases: Path | None = None
    """The folder that keeps judgements of base commits; `None`: beside the scratch folder."""
    seed: int = field(default_factory=lambda: secrets.randbelow(2**32))
    """Seed of held-out inputs, drawn when a grade begins and fresh in each."""

    def laid_in(self, file: SealedFile) -> SealedFile:
        """A sealed file as it is written into checkouts, with this grade's inputs."""
        return file.model_copy(update={"content": laid_in(file.path, file.content, self.seed)})

    async def run(self, checkout: Checkout, probe: Probe | None = None) -> TestRun:
        """Make the checkout, set it up, run the tests, read their report and clear everything away."""
        async with self.prepared(checkout) as ready:
            return ready.failure or await self._run(checkout, ready.folder, ready.report, probe)

    @asynccontextmanager
    async def prepared(self, checkout: Checkout) -> AsyncGenerator[Prepared]:
        """A checkout that is set up, without sealed and planted tests; cleared away afterwards."""
        place = self.scratch / checkout.name
        folder, report = place / "checkout", place / "report"
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        try:
            await asyncio.to_thread(self.repository.clone, checkout.tree, folder, kept=self.scratch.parent)
            report.mkdir()
            yield Prepared(folder, report, await self._set_up(checkout, folder))
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _set_up(self, checkout: Checkout, folder: Path) -> TestRun | None:
        if not self.policy.project.setup:
            return None
        self.on_step(f"{checkout.name}: setting up")
        done = await run_setup(self.sandbox, self.policy, folder)
        if done.exit_code != 0:
            return TestRun(problem="setup-failed", said=clean(done.output, folder), exit_code=done.exit_code)
        # the change's own setup has run: whatever it did to the tests is undone
        await asyncio.to_thread(self._take_back, checkout, folder)
        return None

    async def _run(self, checkout: Checkout, folder: Path, report: Path, probe: Probe | None) -> TestRun:
        project = self.policy.project
        own = [*(checkout.sealed.files if checkout.sealed else ()), *checkout.planted]
        random.SystemRandom().shuffle(own)  # the planted ones are not to be told by their age
        SealedTests(files=tuple(self.laid_in(file) for file in own)).write_into(folder)
        self.on_step(f"{checkout.name}: running the tests")
        file = report / "junit.xml"
        environment = probe.prepare(report, folder) if probe else {}
        watched = [file.path for file in own]
        watched += [path for path in self.repository.files(checkout.tree) if _is_test_code(path, checkout)]
        before = dict(_states(folder, watched))
        command, stops_early = await asyncio.to_thread(self._command, checkout.tree)
        try:
            done = await run_with_services(
                self.sandbox,
                project.services,
                command.replace("{junit}", shlex.quote(str(file))),
                folder=folder,
                timeout=project.test_timeout,
                writable=[report],
                environment=self._fail_fast_off() | environment,
            )
        except ServiceFailed as error:
            return TestRun(problem=SERVICE_FAILED, said=clean(error.message, folder))
        rewritten = tuple(path for path, state in _states(folder, watched) if before[path] != state)
        said = clean(done.output, folder)
        if probe:
            probe.read(report, folder)
        if done.timed_out:
            return TestRun(problem="tests-timed-out", said=said, exit_code=done.exit_code, rewritten=rewritten)
        try:
            cases = tuple(read_report(file, folder))
        except ReportUnreadable as error:
            problem, said = "junit-unreadable", f"{error}\n{said}"
            return TestRun((), problem, said, done.exit_code, rewritten)
        problem = "" if cases else "no-junit-report"
        if problem and not said:
            said = clean(said_in_report(file), folder)  # the command's output may have gone there
        stopped = cut_short(done.output)
        return TestRun(cases, problem, "" if cases else said, done.exit_code, rewritten, stopped, stops_early)

    def _command(self, tree: str) -> tuple[str, tuple[str, ...]]:
        files = {path: partial(self.repository.read_file, tree, path) for path in self.repository.files(tree)}
        return switched_off(self.policy.project.test, files)

    def _fail_fast_off(self) -> dict[str, str]:
        own = {name: os.environ.get(name, "") for name in self.policy.sandbox.environment}
        return {name: f"{own.get(name, '')} {value}".strip() for name, value in ENVIRONMENT.items()}

    def _take_back(self, checkout: Checkout, folder: Path) -> None:
        self.repository.export(checkout.tree, folder, only=checkout.belongs_to_tests)
        _clear_strays(folder, set(self.repository.files(checkout.tree)))


def _is_test_code(path: str, checkout: Checkout) -> bool:
    return path.endswith(_TEST_CODE) and checkout.belongs_to_tests(path)


def _states(folder: Path, paths: Collection[str]) -> Iterator[tuple[str, object]]:
    """What changes when a file is written, even if its content and times are put back afterwards."""
    for path in paths:
        try:
            about = os.lstat(folder / path)
        except OSError:
            yield path, None
        else:
            yield path, (about.st_ino, about.st_ctime_ns, about.st_size, about.st_mode)


def _clear_strays(folder: Path, known: Collection[str]) -> None:
    """Remove what steers tests and was not there before the setup: configuration, hooks, compiled Python.

    Compiled Python may say that its source is not to be looked at, and would then be run in its stead.
    """
    for parent, folders, files in os.walk(folder):
        for name in [name for name in folders if name == "__pycache__"]:
            shutil.rmtree(Path(parent, name), ignore_errors=True)
        folders[:] = [
            name
            for name in folders
            if name not in (*_OF_TOOLS, "__pycache__") and not Path(parent, name, "pyvenv.cfg").exists()
        ]
        for name in files:
            path = Path(parent, name)
            relative = str(path.relative_to(folder))
            if relative not in known and steers_tests(relative):
                path.unlink()
