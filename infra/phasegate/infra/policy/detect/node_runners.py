"""Test runners of JavaScript: how each is told to write JUnit XML, and which package it needs for that.

Called by `node`. It must not know where a command came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TOOLS = "node_modules/.reporters"
"""Folder of reporters where the package manager has no command that leaves package.json alone."""


@dataclass(frozen=True)
class Runner:
    """A runner's options for a report."""

    options: str = ""
    """Right behind the runner's name."""
    verb: str = ""
    """Its command for a run of all tests, once."""
    environment: str = ""
    package: str = ""
    """Has to be installed besides."""
    pipe: str = ""
    """Takes what the runner prints."""
    own: str = ""
    """Pattern of further options that get in the way of a report."""


@dataclass(frozen=True)
class RunnerCall:
    """A command that runs tests, in its parts."""

    before: tuple[str, ...]
    """Prefix that starts the runner: `node` with its options, or nothing."""
    runner: str
    program: str
    """As the command names it."""
    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunnerReport:
    """A command that writes a report, and what it needs."""

    command: str
    package: str = ""


_TAP = Runner(package="tap-xunit", pipe=" | {tools}tap-xunit > {junit}")
_JEST = Runner(
    "--reporters={jest-junit}",
    environment="JEST_JUNIT_OUTPUT_FILE={junit} JEST_JUNIT_ADD_FILE_ATTRIBUTE=true",
    package="jest-junit",
)
_MOCHA = Runner("--reporter=xunit --reporter-option=output={junit}")
_RUNNERS: Mapping[str, Runner] = {
    "vitest": Runner("--reporter=junit --outputFile={junit}", verb="run", own=r"--run"),
    "mocha": _MOCHA,
    "ts-mocha": _MOCHA,
    "jest": _JEST,
    "react-scripts": Runner(_JEST.options, "test --watchAll=false", f"CI=true {_JEST.environment}", _JEST.package),
    "ava": Runner("--tap", package=_TAP.package, pipe=_TAP.pipe, own=r"--tap|-t|--verbose|-v"),
    "tape": _TAP,
    "qunit": Runner(package=_TAP.package, pipe=_TAP.pipe),
    "tap": Runner(
        "--reporter=junit --reporter-file={junit} --disable-coverage --allow-empty-coverage",
        own=r"run|-c|-b|--bail|-R\w+|--coverage-report\S*|--(?:show|allow|disable)\S*coverage\S*",
    ),
    "borp": Runner("--reporter=junit:{junit}"),
    "lab": Runner("-r junit -o {junit}"),
}
_OLD_TAP = Runner(
    "--no-coverage --reporter=xunit",
    pipe=" > {junit}",
    own=r"-b|--bail|-R\w+|--100|-J|--(?:no-|check-)?cov(?:erage)?(?:-report)?(?:=\S+)?|--(?:branches|functions|lines|statements)=\S+",
)
"""Before the version that has reports of its own."""
_NEW_TAP = 18
LINES = {
    "jasmine": "npm i -D jasmine-reporters, and a helper with its JUnitXmlReporter, whose report goes to {junit}",
    "karma": "npm i -D karma-junit-reporter, and a test command whose report goes to {junit}",
    "uvu": 'test = "node --test --test-reporter=junit --test-reporter-destination={junit} test/", one test a file',
    "playwright": 'test = "env PLAYWRIGHT_JUNIT_OUTPUT_NAME={junit} npx playwright test --reporter=junit"',
    "cypress": 'test = "npx cypress run --reporter junit --reporter-options mochaFile={junit}"',
    "wtr": "npm i -D @web/test-runner-junit-reporter, and a configuration whose report goes to {junit}",
    "web-test-runner": "npm i -D @web/test-runner-junit-reporter, and a configuration whose report goes to {junit}",
}
"""Runners without a report of their own, each with the line that a person has to write."""
NAMES = frozenset((*_RUNNERS, *LINES))
FALLBACKS = ("vitest", "jest", "mocha", "ava", "tap")
"""Runners that know by themselves which files are tests."""
TOKEN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
"""A word of a command line, quotes included."""
_REPORTER = re.compile(
    r"""\s(?:-R|--(?:test-)?reporters?|--reporter-options?|-O|--outputFile(?:\.\w+)?|--test-reporter-destination"""
    r"""|--reporter-file)(?:=|\s+)(?:"[^"]*"|'[^']*'|\S+)"""
)
_WATCH = re.compile(r"\s(?:--watch(?:All)?(?:=true)?|watch|-w)(?=\s|$)")


def runner_of(word: str) -> str:
    """Name the runner that a command's word starts, by name or by path, or an empty string if there is none."""
    path, _, name = word.strip("'\"").rpartition("/")
    plain = re.sub(r"\.[cm]?js$", "", name).removeprefix("_")
    return plain if plain in NAMES and (not path or ".bin" in path or "node_modules" in path) else ""


def reporting(call: RunnerCall, packages: Mapping[str, object], tools: str) -> RunnerReport | None:
    """Write a test command with a report, its other arguments kept.

    Args:
        call: The command.
        packages: The project's, with their versions.
        tools: The folder of `TOOLS` as seen from where the command runs; empty: reporters are installed as others.

    Returns:
        `None` if the runner has no report of its own.
    """
    major = re.search(r"\d+", str(packages.get("tap", "")))
    old = call.runner == "tap" and major is not None and int(major[0]) < _NEW_TAP
    runner = _OLD_TAP if old else _RUNNERS.get(call.runner)
    if runner is None:
        return None
    arguments = _WATCH.sub("", _REPORTER.sub("", "".join(f" {word}" for word in call.arguments)))
    if runner.verb:
        arguments = re.sub(rf"^\s+{runner.verb.partition(' ')[0]}(?=\s|$)", "", arguments)
    if runner.own:
        arguments = re.sub(rf"\s(?:{runner.own})(?=\s|$)", "", arguments)
    environment = " ".join((*runner.environment.split(), *call.environment))
    program = call.program if call.before or "/" in call.program else f"npx {call.program}"
    words = (*call.before, program, runner.verb, runner.options)
    command = " ".join(word for word in (f"env {environment}" if environment else "", *words) if word) + arguments
    own = bool(runner.package) and runner.package not in packages
    jest_junit = f"./{tools}/node_modules/jest-junit" if tools and own else "jest-junit"
    binaries = f"{tools}/node_modules/.bin/" if tools and own else "npx "
    text = f"{command}{runner.pipe}".replace("{jest-junit}", jest_junit).replace("{tools}", binaries)
    return RunnerReport(text, runner.package if own else "")


def reporting_node(words: Sequence[str], environment: Sequence[str], *, with_tests: bool = True) -> RunnerReport:
    """Write a command of Node's own runner with a report.

    Args:
        words: `node` or a program like it, with its options and files.
        environment: Variables with their values.
        with_tests: True if `--test` has to be among them: each file is then one test, or more by node:test.
    """
    plain: list[str] = TOKEN.findall(_REPORTER.sub("", "".join(f" {word}" for word in words)))
    at = plain.index("--test") if "--test" in plain else 1
    rest = plain[at + 1 :] if "--test" in plain else plain[at:]
    options = ["--test"] if with_tests or "--test" in plain else []
    options += ["--test-reporter=junit", "--test-reporter-destination={junit}"]
    variables = [f"env {' '.join(environment)}"] if environment else []
    rest = [word for word in rest if word not in ("--watch", "--experimental-test-coverage")]
    return RunnerReport(" ".join((*variables, *plain[:at], *options, *rest)))
