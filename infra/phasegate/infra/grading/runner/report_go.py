"""Walk through what `go test -json` wrote, so that no converter has to be installed.

Called by `report`. Lines that are not JSON are the go command's own words: compile errors and packages that could not
be built. The report was written by untrusted code: a line that is cut off is refused. It must not know what a test's
status is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.runner.report_xml import CASES_LIMIT, Outcome, RawCase

_EVENT = re.compile(rb"(?m)^\{\"(?:Time|Action|Package|ImportPath|Test)\":")
_OWN_WORDS = re.compile(rb"(?m)^(?:FAIL\t\S+ \[(?:build|setup) failed\]$|go: |no Go files in |# \S+ \[\S+\.test\]$)")
_NOT_BUILT = re.compile(r"FAIL\t(?P<package>\S+) \[(?P<why>(?:build|setup) failed)\]")
_BLOCK = re.compile(r"# (?P<package>[^\s\[\]]+)(?: \[[^\[\]]*\])?")
_CHATTER = re.compile(
    r"\s*(?:=== (?:RUN|PAUSE|CONT|NAME)|--- (?:PASS|FAIL|SKIP)|FAIL\t|ok  \t|PASS$|FAIL$|exit status \d)"
)
_LONGEST = 20_000
"""Characters kept of what one test says."""


@dataclass
class _Test:
    outcome: str = ""
    said: list[str] = field(default_factory=list)
    size: int = 0

    def hear(self, text: str) -> None:
        """Keep the beginning of what a test prints, without the runner's own lines."""
        if self.size < _LONGEST and not _CHATTER.match(text):
            self.said.append(text)
            self.size += len(text)


@dataclass
class _Package:
    tests: dict[str, _Test] = field(default_factory=dict)
    own: _Test = field(default_factory=_Test)
    """The package as a whole: its build, `init` functions and `TestMain`."""
    not_built: str = ""


def is_go_report(data: bytes) -> bool:
    """True if a report is what `go test -json` writes."""
    return bool(_EVENT.search(data) or _OWN_WORDS.search(data))


def walk_go(data: bytes, name: str) -> list[RawCase]:
    """Read the tests of one report; a package that is not built, or fails as a whole, is one of them.

    Args:
        data: The whole file.
        name: The file's name, for messages.

    Raises:
        ReportUnreadable: A line that is cut off, or too many tests.
    """
    packages: dict[str, _Package] = {}
    command_lines: dict[str, list[str]] = {}
    block: list[str] = []
    count = 0
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        if not line.startswith("{"):
            block = _hear_command(line, packages, command_lines, block)
            continue
        event = _event(line, f"{name}: line {number}")
        package = packages.setdefault(
            str(event.get("Package") or event.get("ImportPath", "")).partition(" ")[0], _Package()
        )
        title = event.get("Test")
        if isinstance(title, str) and title not in package.tests and (count := count + 1) > CASES_LIMIT:
            raise ReportUnreadable(f"{name}: more than {CASES_LIMIT} tests (line {number})")
        _note(package.tests.setdefault(title, _Test()) if isinstance(title, str) else package.own, event)
    return [case for path, package in packages.items() for case in _cases(path, package, command_lines.get(path, []))]


def _event(line: str, place: str) -> dict[str, Any]:
    try:
        return read_json_table(line, place)
    except DocumentUnreadable as error:
        raise ReportUnreadable(f"{place}: not a whole event of `go test -json`: {error.reason}") from error


def _note(test: _Test, event: dict[str, Any]) -> None:
    match event.get("Action"):
        case "output" | "build-output":
            test.hear(str(event.get("Output", "")))
        case "pass" | "fail" | "skip" as outcome:
            test.outcome = outcome
        case "build-fail":
            test.outcome = "fail"
        case _:
            pass


def _hear_command(
    line: str, packages: dict[str, _Package], command_lines: dict[str, list[str]], block: list[str]
) -> list[str]:
    """Hear a line of the go command.

    Returns:
        The lines of its package, which the next line continues.
    """
    if failure := _NOT_BUILT.fullmatch(line):
        packages.setdefault(failure["package"], _Package()).not_built = failure["why"]
        return []
    if header := _BLOCK.fullmatch(line):
        return command_lines.setdefault(header["package"].removesuffix("_test"), [])
    block.append(f"{line}\n")
    return block


def _cases(path: str, package: _Package, command_lines: list[str]) -> list[RawCase]:
    cases = [_case(path, title, test) for title, test in package.tests.items()]
    if package.not_built:
        return [*cases, _raw(path, f"[{package.not_built}]", "error", "".join([*command_lines, *package.own.said]))]
    fails = any(test.outcome in ("fail", "") for test in package.tests.values())
    output = "".join(package.own.said)
    if package.own.outcome == "fail" and not fails:
        cases.append(_raw(path, "[build failed]" if "[build failed]" in output else "[package]", "error", output))
    elif package.own.outcome == "pass" and fails:
        cases.append(_raw(path, "[package]", "error", f"a test fails, and the package passes\n{output}"))
    elif not package.own.outcome and package.tests:
        cases.append(_raw(path, "[package]", "error", f"it did not end\n{output}"))
    return cases


def _case(path: str, title: str, test: _Test) -> RawCase:
    output = "".join(test.said)
    match test.outcome:
        case "pass":
            return _raw(path, title, "", "")
        case "skip":
            return _raw(path, title, "skipped", output)
        case "fail":
            return _raw(path, title, "failure", output)
        case _:
            return _raw(path, title, "error", f"it did not end\n{output}")


def _raw(path: str, title: str, kind: str, message: str) -> RawCase:
    outcomes = [Outcome(kind, "", [message[:_LONGEST]], size=len(message))] if kind else []
    return RawCase({"classname": path, "name": title}, 0, path, None, outcomes)
