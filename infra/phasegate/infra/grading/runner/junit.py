"""Reading test reports: JUnit XML, which runners of most languages write, and what Go and Cargo write instead.

Called by grading. The report was written by untrusted code: files are opened without following a link, and all that is
read is bounded. It must not know what is being graded.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from phasegate.infra.artifacts import sha256
from phasegate.infra.grading.runner.checkout_paths import relative_file, without_path
from phasegate.infra.grading.runner.report import walk_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.grading.runner.report_xml import RawCase

TestKey = tuple[str, str | None]
"""A test's id and file."""
Status = Literal["passed", "skipped", "failed", "error"]

MESSAGE_LIMIT = 2_000
"""Characters kept of one test's message."""
_UNCLEANED = 20_000
"""Characters looked at of a message's beginning, and of its end, for those that are kept."""
_LONGEST_NAME = 4_000
REPORT_LIMIT = 64 * 1024 * 1024
"""Bytes of all files of the largest report that is read."""
FILES_LIMIT = 20_000
"""Entries of the largest report folder that is read."""
_FOLDERS_DEEP = 20
_WORST_FIRST: tuple[Status, ...] = ("error", "failed", "skipped", "passed")
_ANSI = re.compile(
    r"(?:\x1b|#x1B)(?:\[[0-?]{0,40}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])"
)  # pytest spells ESC #x1B
_NUMBERED = re.compile(r"(?:not ok |ok )?(?:#?([0-9]{1,9})\s+[-:\u2013]|#([0-9]{1,9}))(?:\s+(.*))?", re.DOTALL)
"""A test's name as converters of TAP write it."""
_NO_TITLE = "(no title)"
"""Name of a check of TAP that has a number alone."""
_PATH_FIRST = re.compile(r"((?:[^\s/>]+/)*[^\s/>]+\.[cm]?[jt]sx?)(?: > | |$)")
"""The file that a class name begins with: as vitest and tap write it, the latter with titles behind."""
_STATUSES: dict[str, Status] = {
    **dict.fromkeys(("failure", "fail", "failed"), "failed"),
    **dict.fromkeys(("skipped", "notrun", "disabled", "suppressed"), "skipped"),
    "error": "error",
}
"""Of the element in a test, or of its `status`, where no element says it."""
_GENERIC = re.compile(r"|failed|failure|error|collection failure|test failed|assertion failed|null", re.IGNORECASE)


@dataclass(frozen=True)
class TestCase:
    """Test of a report, with its outcome."""

    __test__ = False  # pytest would take it for a test

    id: str
    """`classname::name`."""
    file: str | None
    """The file the report names, relative to the checkout where it can be."""
    status: Status
    message: str = ""

    @property
    def key(self) -> TestKey:
        """Id and file, which tell it from a report's other tests."""
        return self.id, self.file

    @property
    def classname(self) -> str:
        """Part of the id before the test's own name."""
        return self.id.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's own name."""
        return self.id.partition("::")[2]


def read_report(path: Path, root: Path, checkout: Path | None = None) -> list[TestCase]:
    """Read what a test run wrote: one file, or a folder of XML files (as Surefire writes).

    Args:
        path: Where the report was to be written.
        root: The checkout that the tests ran in; its path is taken out of all names.
        checkout: Place of the checkout's files on this machine; `None`: at `root`.

    Returns:
        One entry per test, in the report's order, or none if there is no report.

    Raises:
        ReportUnreadable: Not whole XML, or with a document type; not a regular file; too large. In a folder, one
            such file is enough: what it would have told is not known.
    """
    if path.is_symlink():
        raise ReportUnreadable(f"{path.name}: the report is a link")
    files = checkout or root
    if not path.is_dir():
        data = _read(path, path.name, REPORT_LIMIT) or b""
        if not data.strip():
            return []
        return _told_apart(_cases(_placed(data, path.name, files), root))
    raw: list[tuple[tuple[str, int], RawCase]] = []
    left = REPORT_LIMIT
    for file in _reports(path):
        name = str(file.relative_to(path))
        data = _read(file, name, left) or b""
        if not data.strip():
            raise ReportUnreadable(f"{name}: the report is empty (byte 0, line 1)")
        left -= len(data)
        raw += _placed(data, name, files)
    return _told_apart(_cases(raw, root))


def parse(data: bytes, root: Path, name: str = "the report") -> list[TestCase]:
    """Parse one report; `root` as for `read_report`, `name` for messages.

    Raises:
        ReportUnreadable: Not whole XML of a known encoding; with a document type; past a limit.
    """
    if not data.strip():
        return []
    return _told_apart(_cases(_placed(data, name, root), root))


def _placed(data: bytes, name: str, files: Path) -> list[tuple[tuple[str, int], RawCase]]:
    """Read the tests of one report, each with its file and suite."""
    return [((name, case.suite), case) for case in walk_report(data, name, files)]


def said_in_report(path: Path) -> str:
    """Return the text of a report without a test; empty for XML, for a folder and where there is none."""
    data = b"" if path.is_dir() else _read(path, path.name, REPORT_LIMIT) or b""
    return "" if data.lstrip()[:1] == b"<" else data.decode(errors="replace")


def clean(message: str, root: Path) -> str:
    """A message as it can be stored and shown: no ANSI, no machine's paths or addresses, and not too long."""
    if len(message) > 2 * _UNCLEANED:
        message = f"{message[:_UNCLEANED]}\n[… characters left out …]\n{message[-_UNCLEANED:]}"
    text = without_path(_ANSI.sub("", message), root)
    text = re.sub(r"\b0x[0-9a-fA-F]{6,}\b", "0x…", text)
    text = "".join(character for character in text if character.isprintable() or character in "\n\t").strip()
    if len(text) <= MESSAGE_LIMIT:
        return text
    half = MESSAGE_LIMIT // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _reports(folder: Path) -> list[Path]:
    """The XML files of a report folder, sorted; a link or a device anywhere in it is refused."""
    paths: list[Path] = []
    waiting = [(folder, 0)]
    seen = 0
    while waiting:
        parent, depth = waiting.pop()
        with os.scandir(parent) as entries:
            for entry in entries:
                seen += 1
                name = os.path.relpath(entry.path, folder)
                if seen > FILES_LIMIT or depth > _FOLDERS_DEEP:
                    raise ReportUnreadable(f"{name}: the report folder holds too much")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
                elif not entry.is_file(follow_symlinks=False):
                    raise ReportUnreadable(f"{name}: the report is not a regular file")
                elif name.endswith(".xml"):
                    paths.append(Path(entry.path))
    return sorted(paths)


def _read(path: Path, name: str, limit: int) -> bytes | None:
    """A regular file's bytes, or `None` if there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportUnreadable(f"{name}: the report cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReportUnreadable(f"{name}: the report is not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ReportUnreadable(f"{name}: the report is larger than {REPORT_LIMIT // 1024**2} MiB (byte {limit})")
    return data


def _cases(raw: list[tuple[tuple[str, int], RawCase]], root: Path) -> Iterator[tuple[tuple[str, ...], TestCase]]:
    """Each test with what tells it from another of the same id and file: its suite, and its number if it has one."""
    numbers: dict[tuple[str, int], list[int]] = {}
    for suite, case in raw:
        match = _NUMBERED.fullmatch(case.attributes.get("name", ""))
        numbers.setdefault(suite, []).append(int(match[1] or match[2]) if match else -1)
    numbered = {
        suite
        for suite, own in numbers.items()
        if own[0] >= 0 and all(first < second for first, second in itertools.pairwise(own))
    }
    for suite, case in raw:
        name, number = case.attributes.get("name", ""), ""
        if suite in numbered and (match := _NUMBERED.fullmatch(name)):
            number, name = match[1] or match[2], match[3] or _NO_TITLE
        yield (suite[0], str(suite[1]), number), _case(case, name, root)


def _case(raw: RawCase, name: str, root: Path) -> TestCase:
    attributes = raw.attributes
    status: Status = "passed"
    message = ""
    for outcome in raw.outcomes:
        outcome_status = _STATUSES["failed" if outcome.kind == "failure" else outcome.kind]
        if _WORST_FIRST.index(outcome_status) < _WORST_FIRST.index(status):
            status, message = outcome_status, clean(_message(outcome.message, outcome.text), root)
    if status == "passed":
        words = (attributes.get(key, "").lower() for key in ("status", "result"))
        statuses: list[Status] = ["passed", *(_STATUSES[word] for word in words if word in _STATUSES)]
        status = min(statuses, key=_WORST_FIRST.index)
    classname = attributes.get("classname")
    named = _PATH_FIRST.match(without_path(classname or "", root))
    # a runner may name the file of failing tests alone, and one test is to have one key
    file = attributes.get("file") or raw.suite_file or (named[1] if named else None)
    return TestCase(
        id="::".join(
            without_path(_shortened(part), root) for part in (raw.suite_name if classname is None else classname, name)
        ),
        file=None if file is None else relative_file(_shortened(file), root),
        status=status,
        message=message,
    )


def _shortened(name: str) -> str:
    """A name that can be stored; what is left out of a longer one is told apart by its digest."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}…{sha256(name).removeprefix('sha256:')[:16]}"


def _message(message: str, text: str) -> str:
    """Message of a failed test, without the test's source where the runner tells the two apart."""
    message, text = message.strip(), text.strip()
    if not _GENERIC.fullmatch(message):
        return message
    # pytest marks the lines that say what went wrong; the others quote the test
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return "\n".join(marked) or text or message


def _told_apart(cases: Iterable[tuple[tuple[str, ...], TestCase]]) -> list[TestCase]:
    """List each test once: of several outcomes in one suite, the worst; the tests of several suites are numbered.

    The worst goes by the bare id, so that neither the order of suites nor a forged copy hides a failure.
    """
    merged: dict[tuple[str, str | None], dict[tuple[str, ...], TestCase]] = {}
    for place, case in cases:
        own = merged.setdefault(case.key, {})
        known = own.get(place)
        if known is None or _WORST_FIRST.index(case.status) < _WORST_FIRST.index(known.status):
            own[place] = case
    return [
        replace(case, id=case.id if number == 1 else f"{case.id} #{number}")
        for own in merged.values()
        for number, case in enumerate(sorted(own.values(), key=lambda case: _WORST_FIRST.index(case.status)), 1)
    ]
