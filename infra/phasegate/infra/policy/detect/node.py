"""Detection of Node projects: npm, pnpm, yarn or bun, and the test script with its arguments. Called by `project`.

A script's commands are taken apart by `node_scripts`; `node_runners` knows how a runner writes a report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from phasegate.infra.policy.detect.findings import ProjectFindings
from phasegate.infra.policy.detect.node_runners import (
    FALLBACKS,
    LINES,
    TOOLS,
    RunnerCall,
    RunnerReport,
    reporting,
    reporting_node,
    runner_of,
)
from phasegate.infra.policy.detect.node_scripts import NodePackages, Step, is_build
from phasegate.infra.policy.detect.source_tree import SourceTree

_LOCKS = {
    "package-lock.json": "npm ci",
    "npm-shrinkwrap.json": "npm ci",
    "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
    "yarn.lock": "yarn install --frozen-lockfile",
    "bun.lock": "bun install --frozen-lockfile",
    "bun.lockb": "bun install --frozen-lockfile",
}
_WITHOUT_LOCK = {
    "npm": "npm install --no-package-lock",
    "pnpm": "pnpm install --no-lockfile",
    "yarn": "yarn install --no-lockfile",
    "bun": "bun install --no-save",
}
_NO_TEST = (
    "The test script of package.json names no runner known to write JUnit XML. Write a command under [project]: "
    'test = "…", which writes the report to {junit}.'
)
_INSTEAD = "The test script names no runner that is known; {runner}, which is among the packages, is called directly."
_SINGLE = (
    "The test script names single files ({files}); tests in any other file are not run. Name a folder or a pattern."
)
_NODES = ("node", "tsx", "ts-node", "babel-node", "bun")
_OF_NODE_WITH_VALUE = ("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions")
_SCRIPT = re.compile(r".*\.[cm]?[jt]sx?")
_MOST_IMPORTS = 20


@dataclass(frozen=True)
class _Tests:
    """A test command, or why there is none."""

    command: str = ""
    tools: tuple[str, ...] = ()
    """Packages that write the report and have to be installed besides."""
    notes: tuple[str, ...] = ()


def detect_node(tree: SourceTree) -> ProjectFindings:
    """Read how a Node project is set up and tested."""
    packages = NodePackages.of(tree)
    manager, setup, because = _manager(tree)
    tests = _tests(tree, packages, own_folder=manager != "npm")
    needed = bool(packages.root.packages or packages.workspaces or "workspaces" in tree.json("package.json"))
    steps = [setup] if needed else []
    if tests.tools:
        where = "" if manager == "npm" else f" --prefix {TOOLS}"
        steps.append(f"npm install --no-save{where} {' '.join(tests.tools)}")
        because += f"; {' and '.join(tests.tools)} for the report, without a trace in package.json"
    return ProjectFindings(
        language="node",
        test=tests.command,
        test_because="the test script in package.json",
        setup=" && ".join(steps),
        setup_because=because,
        notes=tests.notes,
    )


def _manager(tree: SourceTree) -> tuple[str, str, str]:
    """The package manager, its command for the set-up, and why."""
    lock = next((name for name in _LOCKS if name in tree), "")
    if lock == "yarn.lock" and "__metadata:" in tree.text(lock)[:1000]:
        return "yarn", "yarn install --immutable", lock
    if lock:
        return _LOCKS[lock].partition(" ")[0], _LOCKS[lock], lock
    named = str(tree.json("package.json").get("packageManager", "")).partition("@")[0]
    manager = named if named in _WITHOUT_LOCK else "npm"
    return manager, _WITHOUT_LOCK[manager], "package.json has dependencies, and there is no lock file"


def _tests(tree: SourceTree, packages: NodePackages, *, own_folder: bool) -> _Tests:
    steps = packages.steps()
    reports = {at: report for at, step in enumerate(steps) if (report := _report(tree, step, own_folder=own_folder))}
    if reports:
        return _Tests(
            _command(steps, reports),
            tuple(dict.fromkeys(report.package for report in reports.values() if report.package)),
            tuple(_left_out(steps, reports)) + tuple(_single_files(tree, [steps[at] for at in reports])),
        )
    if line := next((line for step in steps if (line := _line(step))), ""):
        return _Tests(notes=(f"No report of the tests without a further line: {line}.",))
    known = packages.root.packages
    if runner := next((name for name in FALLBACKS if name in known), ""):
        report = reporting(RunnerCall((), runner, runner, ()), known, TOOLS if own_folder else "") or RunnerReport("")
        notes = (_INSTEAD.format(runner=runner),) if steps else ()
        return _Tests(report.command, (report.package,) if report.package else (), notes)
    return _Tests(notes=(_NO_TEST,))


def _report(tree: SourceTree, step: Step, *, own_folder: bool) -> RunnerReport | None:
    """Return a step with a report, or `None` if it runs no tests, or none that can be reported."""
    known = step.package.packages
    depth = step.package.folder.count("/") + 1 if step.package.folder else 0
    tools = f"{'../' * depth}{TOOLS}" if own_folder else ""
    words = step.words
    if words[0] in _NODES:
        return _report_of_node(tree, step, tools)
    if runner := runner_of(words[0]):
        arguments = tuple(word for word in words[1:] if word != "--")
        if runner == "react-scripts" and arguments[:1] != ("test",):
            return None
        return reporting(RunnerCall((), runner, words[0], arguments, step.environment), known, tools)
    return None


def _report_of_node(tree: SourceTree, step: Step, tools: str) -> RunnerReport | None:
    words = step.words
    if words[:2] == ("bun", "test"):
        variables = f"env {' '.join(step.environment)} " if step.environment else ""
        command = f"{variables}bun test --reporter=junit --reporter-outfile={{junit}} {' '.join(words[2:])}"
        return RunnerReport(command.strip())
    at = _first_file(words)
    if "--test" not in words and at is not None:
        if runner := runner_of(words[at]):
            call = RunnerCall(words[:at], runner, words[at], words[at + 1 :], step.environment)
            return reporting(call, step.package.packages, tools)
        files = [word.strip("'\"") for word in words[at:]]
        text = "".join(_with_imports(tree, step.package.folder, name) for name in files)
        if re.search(r"""['"](?:tape|tap)['"]""", text):
            return reporting(
                RunnerCall(words[:at], "tape", words[at], words[at + 1 :], step.environment),
                step.package.packages,
                tools,
            )
        if not any("test" in name or "spec" in name for name in files):
            return None
    if at is None and "--test" not in words:
        return None
    program = () if words[0] in ("node", "bun") else ("npx",)
    return reporting_node((*program, *words), step.environment)


def _first_file(words: Sequence[str]) -> int | None:
    """The place of the file that Node runs: the first word that is no option, nor an option's value."""
    skip = False
    for at, word in enumerate(words[1:], 1):
        if skip or word.startswith("-"):
            skip = not skip and word in _OF_NODE_WITH_VALUE
        else:
            return at
    return None


def _with_imports(tree: SourceTree, folder: str, name: str) -> str:
    """The text of a file and of those next to it that it loads."""
    path = PurePosixPath(folder, name.removeprefix("./"))
    text = tree.text(path) if _SCRIPT.fullmatch(path.name) else tree.text(path.with_name(f"{path.name}.js"))
    loaded = re.findall(r"""['"](\./[\w./-]+)['"]""", text)[:_MOST_IMPORTS]
    return text + "".join(tree.text(path.parent / other) for other in loaded if _SCRIPT.fullmatch(other))


def _command(steps: Sequence[Step], reports: dict[int, RunnerReport]) -> str:
    """Command that builds, runs every test command, each in its folder, and fails if one of them fails."""
    last = max(reports)
    builds = [
        _inside(step, step.text) for at, step in enumerate(steps[:last]) if at not in reports and is_build(step.text)
    ]
    builds = list(dict.fromkeys(builds))
    if len(reports) == 1:
        return " && ".join([*builds, _inside(steps[last], reports[last].command)])
    runs = [
        f"{_inside(steps[at], report.command.replace('{junit}', f'{{junit}}/{number}.xml'))} || failed=1"
        for number, (at, report) in enumerate(reports.items(), 1)
    ]
    return " && ".join([*builds, f"mkdir -p {{junit}} && {{ failed=0; {'; '.join(runs)}; exit $failed; }}"])


def _inside(step: Step, command: str) -> str:
    return f"(cd {step.package.folder} && {command})" if step.package.folder else command


def _left_out(steps: Sequence[Step], reports: dict[int, RunnerReport]) -> list[str]:
    last = max(reports)
    omitted = [
        step.text for at, step in enumerate(steps) if at not in reports and not (at < last and is_build(step.text))
    ]
    return [f"Left out of the test script: {' && '.join(dict.fromkeys(omitted))[:300]}"] if omitted else []


def _single_files(tree: SourceTree, steps: Sequence[Step]) -> list[str]:
    """A word on commands that name test files one by one, so that a new file is never run."""
    notes: list[str] = []
    for step in steps:
        plain = [word.strip("'\"").removeprefix("./") for word in step.words[1:]]
        files = [name for name in plain if _SCRIPT.fullmatch(name) and "node_modules" not in name]
        folder = f"{step.package.folder}/" if step.package.folder else ""
        others = [word for word in plain if "*" in word or (f"{folder}{word}" not in tree and "/" in word)]
        setup = [
            plain[at + 1] for at, word in enumerate(plain[:-1]) if word in ("-r", "--require", "--import", "--file")
        ]
        named = [name for name in files if name not in setup and f"{folder}{name}" in tree]
        if named and not others:
            notes.append(_SINGLE.format(files=", ".join(named[:3])))
    return notes


def _line(step: Step) -> str:
    words = [runner_of(word) for word in step.words[:3]]
    runner = next((word for word in words if word), "")
    if runner == "playwright" and "test" not in step.words:
        return ""
    return LINES.get(runner, "")
