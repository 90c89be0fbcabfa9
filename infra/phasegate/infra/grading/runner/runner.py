"""Runs a project's tests on a clean checkout, in the sandbox.

Called by `grade`, ablation and coverage. It must not know which run it is, or what follows from the outcome.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shlex
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.grading.heldout import laid_in
from phasegate.infra.grading.runner.build_caches import is_compiled
from phasegate.infra.grading.runner.fail_fast import ENVIRONMENT, cut_short, switched_off
from phasegate.infra.grading.runner.file_state import DataWatch, file_states
from phasegate.infra.grading.runner.junit import TestCase, clean, said_in_report
from phasegate.infra.grading.runner.layer_entries import Found, Laid
from phasegate.infra.grading.runner.layers import Layers, Origin
from phasegate.infra.grading.runner.report_process import read_bounded_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.patterns import TEST_CODE, is_test_file, is_test_name, steers_tests
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import Sandbox, run_setup, run_with_services
from phasegate.infra.sandbox.port import BuildCaches, CommandResult
from phasegate.infra.system.trees import remove_tree, walk
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import clone

SERVICE_FAILED = "service-failed"
PROBLEMS = {
    "setup-failed": "the setup command fails",
    SERVICE_FAILED: "a service that the tests need does not come up",
    "tests-timed-out": "the tests do not end within `project.test_timeout`",
    "no-junit-report": "the test command writes no JUnit report, or one without a test",
    "junit-unreadable": "the test command's report cannot be read",
}
"""Reasons why a run tells nothing, by their code, as people read them."""
INSIDE = Path("/srv/app/current")
"""Place of every checkout inside a sandbox, as of a release: reports, scripts and caches of all runs agree."""
_ONLY = "app"
"""Folder of the one checkout where commands are not shut in."""
LAYERS = "layers"
"""Folder of what setup commands left behind."""
_OF_TOOLS = (".git", ".venv", "venv", ".tox", ".nox", "node_modules")


@dataclass(frozen=True)
class TestRun:
    """Result of a run of tests."""

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
    rewritten_data: tuple[str, ...] | None = None
    """Data files of tests that were written to, and folders of theirs that were swapped; `None`: not looked at."""
    touched_data: tuple[str, ...] = ()
    """Data files of tests of which the time of change alone is another."""
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
    """Checkout that is tested."""

    name: str
    """The run's name, as steps tell it."""
    tree: str
    """A commit."""
    belongs_to_tests: Callable[[str], bool] = is_test_file
    """Paths that are written again once the setup command, which runs the change's code, is through."""
    sealed: SealedTests | None = None
    """Acceptance tests to put in, after that."""
    planted: tuple[SealedFile, ...] = ()
    """Further test files to put in."""
    left_out: frozenset[str] = frozenset()
    """Test files that are removed before the tests run, since nothing is asked about them."""
    origin: Origin = "unknown"
    """Origin of its product code, `base` or `change`, which decides the layers that its setup is taken from."""
    fills_caches: bool = False
    """True if what its tests compile may be kept: for the base commit, with nothing put in."""


@dataclass(frozen=True)
class Prepared:
    """A checkout in which commands can be run."""

    folder: Path
    report: Path
    """An empty folder for files that commands leave."""
    inside: Path
    """Place of the checkout as commands find it."""
    failure: TestRun | None = None
    """Result of a setup that failed; `None`: it is set up."""
    laid: Laid | None = None
    """Layer that it stands on."""

    @property
    def beneath(self) -> Path | None:
        """Files of a layer that commands are to see beneath the folder; `None`: all is in the folder."""
        return self.laid.beneath if self.laid else None

    @property
    def caches(self) -> BuildCaches | None:
        """Caches of compilers that commands are to begin with."""
        return self.laid.caches if self.laid else None

    def find(self, path: str) -> Path:
        """Place of what commands find at a path of the checkout; a layer's files are not to be written."""
        own = self.folder / path
        return own if self.beneath is None or os.path.lexists(own) else self.beneath / path


class RunProbe(Protocol):
    """Watches a run of the tests."""

    def prepare(self, folder: Path, inside: Path) -> dict[str, str]:
        """Put into a folder what the tests' processes are to load, and return their environment for it.

        Args:
            folder: The folder.
            inside: Place of the checkout as the tests find it.
        """
        ...

    def read(self, folder: Path, checkout: Path, inside: Path) -> None:
        """Read what they left there; untrusted.

        Args:
            folder: The folder.
            checkout: Place of the checkout on this machine.
            inside: Its place as the tests found it.
        """
        ...


@dataclass(frozen=True)
class Bench:
    """Place and settings of test runs."""

    repository: Repository
    policy: Policy
    sandbox: Sandbox
    scratch: Path
    on_step: Callable[[str], None]
    bases: Path | None = None
    """The folder that keeps judgements of base commits; `None`: beside the scratch folder."""
    guards: tuple[SealedFile, ...] = ()
    """Characterization tests that are put into every checkout, as if the project had them."""
    seed: int = field(default_factory=lambda: secrets.randbelow(2**32))
    """Seed of held-out inputs, drawn when a grade begins and fresh in each."""
    _taken: set[Path] = field(default_factory=set[Path], repr=False, compare=False)
    """Places of the checkouts at hand."""

    @property
    def inside(self) -> Path:
        """Place at which commands find their checkout; with backend `none` a folder that one checkout has at a time."""
        return self._only if self.sandbox.name == "none" else INSIDE

    @property
    def _only(self) -> Path:
        return self.scratch.resolve() / _ONLY / "checkout"

    @property
    def quiet(self) -> Bench:
        """The same, without a word of what is being done."""
        return replace(self, on_step=_say_nothing)

    def laid_in(self, file: SealedFile) -> SealedFile:
        """A sealed file as it is written into checkouts, with this grade's inputs."""
        return file.model_copy(update={"content": laid_in(file.path, file.content, self.seed)})

    async def run(self, checkout: Checkout, probe: RunProbe | None = None) -> TestRun:
        """Make the checkout, set it up, run the tests, read their report and clear everything away."""
        async with self.prepared(checkout) as ready:
            ran = ready.failure or await self._run(checkout, ready, probe)
            if checkout.fills_caches and ready.laid and not ran.problem:
                await asyncio.to_thread(self._layers.fill, ready.laid, checkout.tree, ready.folder)
            return ran

    async def run_again(self, checkout: Checkout, ready: Prepared, probe: RunProbe | None = None) -> TestRun:
        """Run the tests in a checkout that is set up already, with what is sealed and planted this time."""
        await asyncio.to_thread(remove_tree, ready.report)
        ready.report.mkdir()
        return ready.failure or await self._run(checkout, ready, probe)

    @asynccontextmanager
    async def prepared(self, checkout: Checkout) -> AsyncGenerator[Prepared]:
        """A checkout that is set up, without sealed and planted tests; cleared away afterwards."""
        place = self._take_place()
        folder, report = place / "checkout", place / "report"
        inside = folder if self.sandbox.name == "none" else INSIDE
        laid: Laid | TestRun | None = None
        try:
            await asyncio.to_thread(remove_tree, place, ignore_errors=True)
            report.mkdir(parents=True)
            laid = await self._make_ready(checkout, folder, inside)
            failure = laid if isinstance(laid, TestRun) else None
            yield Prepared(folder, report, inside, failure, laid if isinstance(laid, Laid) else None)
        finally:
            if isinstance(laid, Laid):
                laid.release()
            await asyncio.to_thread(remove_tree, place, ignore_errors=True)
            self._taken.discard(place)

    def _take_place(self) -> Path:
        """A folder for one checkout; its name, which commands may see, does not tell what is run there."""
        place = self._only.parent
        if self.sandbox.name != "none" or place in self._taken:
            place = self.scratch.resolve() / secrets.token_hex(8)
        self._taken.add(place)
        return place

    async def _make_ready(self, checkout: Checkout, folder: Path, inside: Path) -> Laid | TestRun | None:
        """Make a checkout with what setup leaves in it, or beneath it. Returns that, or a setup that failed."""
        write = partial(clone, self.repository, checkout.tree, folder, kept=self.scratch.parent)
        setup = self.policy.project.setup
        if not setup and (self.sandbox.name == "none" or not is_compiled(self.repository.files(checkout.tree))):
            return await asyncio.to_thread(write)
        if setup:
            self.on_step(f"{checkout.name}: setting up")
        take_back = partial(self._take_back, checkout, folder)
        outcome = None
        if inside == self.inside:  # else scripts in a layer would name another folder
            outcome = await self._layers.find_or_make(
                checkout.tree, checkout.origin, folder, take_back, checkout.belongs_to_tests
            )
        if isinstance(outcome, CommandResult):
            return _setup_failed(outcome, inside)
        await asyncio.to_thread(write)
        laid = await asyncio.to_thread(self._lay, outcome, checkout, folder) if outcome else None
        if laid is not None:
            await asyncio.to_thread(take_back)
            await asyncio.to_thread(self._layers.age, laid, checkout.tree, folder)
            return laid
        await asyncio.to_thread(remove_tree, folder, ignore_errors=True)
        await asyncio.to_thread(write)
        if not setup:
            return None
        done = await run_setup(self.sandbox, self.policy, folder, inside=inside)
        if done.exit_code != 0:
            return _setup_failed(done, inside)
        # the change's own setup has run: whatever it did to the tests is undone
        await asyncio.to_thread(take_back)
        return None

    def _lay(self, stored_layer: Found, checkout: Checkout, folder: Path) -> Laid | None:
        return self._layers.lay(stored_layer, checkout.tree, folder, fills=checkout.fills_caches)

    async def clear(self) -> None:
        """Remove what was kept for further runs of this bench."""
        for name in (LAYERS, f"{LAYERS}-of-base"):
            await asyncio.to_thread(remove_tree, self.scratch / name, ignore_errors=True)

    @property
    def _layers(self) -> Layers:
        own = self.scratch / LAYERS
        shared = (self.bases or self.scratch.parent) / LAYERS
        if self.sandbox.name == "none":  # without walls every command could write to it
            shared = self.scratch / f"{LAYERS}-of-base"
        return Layers(self.repository, self.policy, self.sandbox, self.inside, shared, own, self.scratch.parent)

    async def _run(self, checkout: Checkout, ready: Prepared, probe: RunProbe | None) -> TestRun:
        project = self.policy.project
        folder, report, inside = ready.folder, ready.report, ready.inside
        own = [*(checkout.sealed.files if checkout.sealed else ()), *checkout.planted]
        own += [file for file in self.guards if file.path not in {other.path for other in own}]
        random.SystemRandom().shuffle(own)  # the planted ones are not to be told by their age
        for path in checkout.left_out:
            (folder / path).unlink(missing_ok=True)
        SealedTests(files=tuple(self.laid_in(file) for file in own)).write_into(folder)
        self.on_step(f"{checkout.name}: running the tests")
        file = report / "junit.xml"
        environment = probe.prepare(report, inside) if probe else {}
        watched = [file.path for file in own]
        watched += [path for path in self.repository.files(checkout.tree) if _is_test_code(path, checkout)]
        before = file_states(folder, watched)
        data = DataWatch(folder, self._data_of_tests(checkout, {file.path for file in own}))
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
                inside=inside,
                beneath=ready.beneath,
                caches=ready.caches,
            )
        except ServiceFailed as error:
            return TestRun(problem=SERVICE_FAILED, said=clean(error.message, inside))
        rewritten = tuple(path for path, state in file_states(folder, watched).items() if before[path] != state)
        written, touched = data.changes()
        seen = partial(TestRun, rewritten=rewritten, rewritten_data=written, touched_data=touched)
        output = clean(done.output, inside)
        if probe:
            probe.read(report, folder, inside)
        if done.timed_out:
            return seen(problem="tests-timed-out", said=output, exit_code=done.exit_code)
        try:
            cases = tuple(await asyncio.to_thread(read_bounded_report, file, inside, folder))
        except ReportUnreadable as error:
            problem, output = "junit-unreadable", f"{error}\n{output}"
            return seen((), problem, output, done.exit_code)
        problem = "" if cases else "no-junit-report"
        if problem and not output:
            output = clean(said_in_report(file), inside)  # the command's output may have gone there
        stopped = cut_short(done.output)
        output = "" if cases else output
        return seen(cases, problem, output, done.exit_code, cut_short=stopped, stops_early=stops_early)

    def _data_of_tests(self, checkout: Checkout, own: Collection[str]) -> list[str]:
        files = (path for path in self.repository.files(checkout.tree) if is_test_name(path) and path not in own)
        return [path for path in files if not path.endswith(TEST_CODE) and checkout.belongs_to_tests(path)]

    def _command(self, tree: str) -> tuple[str, tuple[str, ...]]:
        files = {path: partial(self.repository.read_file, tree, path) for path in self.repository.files(tree)}
        return switched_off(self.policy.project.test, files)

    def _fail_fast_off(self) -> dict[str, str]:
        own = {name: os.environ.get(name, "") for name in self.policy.sandbox.environment}
        return {name: f"{own.get(name, '')} {value}".strip() for name, value in ENVIRONMENT.items()}

    def _take_back(self, checkout: Checkout, folder: Path) -> None:
        self.repository.export(checkout.tree, folder, only=checkout.belongs_to_tests)
        _clear_strays(folder, set(self.repository.files(checkout.tree)))


def _say_nothing(step: str) -> None:
    pass


def _setup_failed(done: CommandResult, inside: Path) -> TestRun:
    return TestRun(problem="setup-failed", said=clean(done.output, inside), exit_code=done.exit_code)


def _is_test_code(path: str, checkout: Checkout) -> bool:
    return path.endswith(TEST_CODE) and checkout.belongs_to_tests(path)


def _clear_strays(folder: Path, known: Collection[str]) -> None:
    """Remove what steers tests and was not there before the setup: configuration, hooks, compiled Python.

    Compiled Python may say that its source is not to be looked at, and would then be run in its stead.
    """
    for parent, folders, files in walk(folder):
        for name in [name for name in folders if name == "__pycache__"]:
            remove_tree(Path(parent, name), ignore_errors=True)
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
