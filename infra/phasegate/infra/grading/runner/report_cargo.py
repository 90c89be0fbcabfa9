"""Walk through what `cargo test` prints, so that no converter has to be installed.

Called by `report`. Each test binary prints its own part, below the line in which cargo names it. A binary that ends
before all its tests have, or that fails as a whole, is a failing test of its own. It must not know what a test's
status is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import reduce

from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.runner.report_xml import CASES_LIMIT, Outcome, RawCase

_COMMAND = re.compile(
    rb"(?m)^(?: +(?:Compiling|Finished|Running|Doc-tests|Updating|Blocking|Downloading|Locking) \S|running \d+ tests?$"
    rb"|test result: |error: (?:could not compile|no matching package|failed to ))"
)
_PART = re.compile(
    r"^ *(?:Running (?P<unit>unittests )?(?P<path>\S+) \(\S*?(?P<binary>[^/\\\s]+?)(?:-[0-9a-f]{16})?(?:\.exe)?\)"
    r"|Running \S*?(?P<old>[^/\\\s]+)-[0-9a-f]{16}|Doc-tests (?P<documented>\S+))$"
)
_COUNT = re.compile(r"^running (\d{1,9}) tests?$")
_KINDS = (" - should panic", " - compile fail", " - compile")
_BLOCK = re.compile(r"^---- (?P<name>.+) std(?:out|err) ----$")
_SUMMARY = re.compile(
    r"^test result: \w+\. (?P<passed>\d{1,9}) passed; (?P<failed>\d{1,9}) failed; (?P<ignored>\d{1,9}) ignored;"
)
_FAILED = re.compile(r"^error: (?:test|doctest|bench) failed, to rerun pass ")
_TIME = re.compile(r" <[\d.]+s>$")
_LINE = re.compile(r" \(line \d+\)$")
_BACKTRACE = re.compile(r"^(?:stack backtrace:|note: |\s+\d+: \S|\s+at \S)")
_LONGEST = 20_000
WHOLE = "[all of it]"
"""Name of the test that stands for a binary as a whole."""
_TAIL = 40
"""Lines kept of a part that fails as a whole."""


@dataclass
class _Part:
    """Output of one test binary, or of the documentation's tests of one crate."""

    name: str
    file: str | None = None
    expected: int = 0
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """Tests and what is said of each, in the order they ended."""
    messages: dict[str, list[str]] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    """Tests that began a line without ending it."""
    is_libtest: bool = False
    counted: tuple[int, ...] = (0, 0, 0)
    """Numbers that it says passed, failed and were ignored."""
    failed: bool = False
    last: list[str] = field(default_factory=list)


def is_cargo_report(data: bytes) -> bool:
    """True if a report is what `cargo test` prints."""
    return _COMMAND.search(data) is not None


def walk_cargo(data: bytes, name: str) -> list[RawCase]:
    """Read the tests of one report, or none if nothing could be compiled.

    Args:
        data: The whole file: cargo's output and errors in one.
        name: The file's name, for messages.

    Raises:
        ReportUnreadable: Too many tests.
    """
    parts: list[_Part] = []
    block: list[str] | None = None
    for line in data.decode(errors="replace").splitlines():
        if header := _PART.match(line):
            parts.append(_part(header))
            block = None
        elif parts:
            block = _hear(parts[-1], line, block)
    if sum(len(part.outcomes) for part in parts) > CASES_LIMIT:
        raise ReportUnreadable(f"{name}: more than {CASES_LIMIT} tests")
    return [case for number, part in enumerate(parts) for case in _cases(number, part)]


def _part(header: re.Match[str]) -> _Part:
    if header["documented"]:
        return _Part(f"{header['documented']} (documentation)")
    if header["old"]:
        return _Part(header["old"])
    path = header["path"].replace("\\", "/")
    return _Part(f"{header['binary']} ({path})", None if header["unit"] else path)


def _hear(part: _Part, line: str, block: list[str] | None) -> list[str] | None:
    """Hear one line.

    Returns:
        The message that the next line continues, if it does.
    """
    part.last = [*part.last[1 - _TAIL :], line]
    if header := _BLOCK.match(line):
        return part.messages.setdefault(header["name"], [])
    if block is None:
        _hear_harness(part, line)
    elif line not in ("failures:", "successes:"):
        if len(block) < _LONGEST and not _BACKTRACE.match(line):
            block.append(line)
        return block
    return None


def _hear_harness(part: _Part, line: str) -> None:
    if count := _COUNT.match(line):
        part.expected, part.is_libtest = part.expected + int(count[1]), True
    elif _FAILED.match(line):
        part.failed = True
    elif summary := _SUMMARY.match(line):
        part.counted = tuple(have + int(more) for have, more in zip(part.counted, summary.groups(), strict=True))
    elif part.is_libtest:
        head, between, outcome = line.partition(" ... ")
        at = head.rfind("test ")  # what a test prints past the harness may stand before it
        if between and at >= 0:
            _end(part, reduce(str.removesuffix, _KINDS, head[at + len("test ") :]), outcome)
        elif part.running and line.endswith(("ok", "FAILED")):
            _end(part, part.running.pop(), line)


def _end(part: _Part, test: str, outcome: str) -> None:
    outcome = _TIME.sub("", outcome)
    if outcome.startswith(("ignored", "bench: ")):
        part.outcomes.append((test, outcome))
    elif outcome.endswith(("ok", "FAILED")):
        part.outcomes.append((test, "ok" if outcome.endswith("ok") else "FAILED"))
    else:
        part.running.append(test)  # it prints past the harness before its outcome is printed


def _cases(number: int, part: _Part) -> list[RawCase]:
    cases = [_case(number, at, part, *outcome) for at, outcome in enumerate(part.outcomes)]
    if not part.is_libtest:
        kind, why = "error" if part.failed else "", ""
    elif why := _broken(part):
        kind = "error"
    else:
        return cases
    return [*cases, _raw(number, part, WHOLE, kind, why + "\n".join(part.last))]


def _broken(part: _Part) -> str:
    """Reason why the tests of a binary are not all that there is to tell, or an empty string if they are."""
    counts = Counter("ignored" if outcome.startswith("ignored") else outcome for _, outcome in part.outcomes)
    if lost := max(part.expected - len(part.outcomes), 0):
        return f"{lost} of {part.expected} tests did not end\n"
    if (counts["ok"], counts["FAILED"], counts["ignored"]) != part.counted:
        return "its last line counts other tests than those that ended\n"
    return "it fails, and none of its tests does\n" if part.failed and not counts["FAILED"] else ""


def _case(number: int, at: int, part: _Part, test: str, outcome: str) -> RawCase:
    kind = {"ok": "", "FAILED": "failure"}.get(outcome, "" if outcome.startswith("bench: ") else "skipped")
    message = (
        "\n".join(part.messages.get(test, ())) if kind == "failure" else outcome.removeprefix("ignored").lstrip(", ")
    )
    # lines move; two examples of one item are told apart by their order alone
    is_example = _LINE.search(test) is not None
    return _raw(number + at * 100_000 if is_example else number, part, _LINE.sub("", test), kind, message)


def _raw(number: int, part: _Part, test: str, kind: str, message: str) -> RawCase:
    outcomes = [Outcome(kind, "", [message[:_LONGEST]], size=len(message))] if kind else []
    attributes = {"classname": part.name, "name": test} | ({"file": part.file} if part.file else {})
    return RawCase(attributes, number, part.name, None, outcomes)
