"""Reading JUnit XML, the one report that test runners of every language write.

Called by grading. The report was written by code nobody has to trust: no document type is accepted, so there is
nothing to expand, and the file is opened without following a link. It must not know what is being graded.
"""

from __future__ import annotations

import os
import re
import stat
import xml.parsers.expat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

Status = Literal["passed", "skipped", "failed", "error"]

MESSAGE_LIMIT = 2_000
"""Characters kept of one test's message."""
REPORT_LIMIT = 64 * 1024 * 1024
"""Bytes of the largest report that is read."""
_WORST_FIRST: tuple[Status, ...] = ("error", "failed", "skipped", "passed")
_ANSI = re.compile(
    r"(?:\x1b|#x1B)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
)  # pytest spells ESC #x1B
_GENERIC = re.compile(r"|failed|failure|error|collection failure|test failed|assertion failed|null", re.IGNORECASE)


class ReportUnreadable(ValueError):
    """The report is not JUnit XML that may be read."""


@dataclass(frozen=True)
class TestCase:
    """One test's outcome."""

    __test__ = False  # pytest would take it for a test

    id: str
    """`classname::name`."""
    file: str | None
    """The file the report names, relative to the checkout where it can be."""
    status: Status
    message: str = ""

    @property
    def classname(self) -> str:
        """What comes before the test's own name."""
        return self.id.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's own name."""
        return self.id.partition("::")[2]


def read_report(path: Path, root: Path) -> list[TestCase]:
    """Read what a test run wrote: one XML file, or a folder of them (as Surefire writes).

    Args:
        path: Where the report was to be written.
        root: The checkout that the tests ran in; absolute paths are shortened by it.

    Returns:
        One entry per test, in the report's order; none where there is no report.

    Raises:
        ReportUnreadable: Not XML, or with a document type; not a regular file; too large.
    """
    if path.is_symlink():
        raise ReportUnreadable("the report is a link")
    files = sorted(path.glob("**/*.xml")) if path.is_dir() else [path]
    return _merged(case for file in files for case in parse(_read(file), root))


def parse(data: bytes, root: Path) -> list[TestCase]:
    """Parse one report; `root` as for `read_report`.

    Raises:
        ReportUnreadable: Not XML, or with a document type.
    """
    if not data.strip():
        return []
    _refuse_doctype(data)
    try:
        document = ET.fromstring(data)  # noqa: S314 - as above
    except ET.ParseError as error:
        raise ReportUnreadable(f"the report is not XML: {error}") from error
    if document.tag not in ("testsuites", "testsuite"):
        raise ReportUnreadable(f"the report's root is <{document.tag}>, not <testsuites>")
    return _merged(_cases(document, "", root))


def clean(message: str, root: Path) -> str:
    """A message as it can be stored and shown: no ANSI, no machine's paths or addresses, and not too long."""
    text = _ANSI.sub("", message).replace(f"{root}/", "").replace(str(root), ".")
    text = re.sub(r"\b0x[0-9a-fA-F]{6,}\b", "0x…", text)
    text = "".join(character for character in text if character.isprintable() or character in "\n\t").strip()
    if len(text) <= MESSAGE_LIMIT:
        return text
    half = MESSAGE_LIMIT // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ReportUnreadable(f"the report cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ReportUnreadable("the report is not a regular file")
        if about.st_size > REPORT_LIMIT:
            raise ReportUnreadable(f"the report is larger than {REPORT_LIMIT // 1024**2} MiB")
        return file.read(REPORT_LIMIT)


def _refuse_doctype(data: bytes) -> None:
    def refuse(*_: object) -> None:
        raise ReportUnreadable("the report has a document type, which is refused")

    parser = xml.parsers.expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat's own signature
    except xml.parsers.expat.ExpatError as error:
        raise ReportUnreadable(f"the report is not XML: {error}") from error


def _cases(element: ET.Element, suite: str, root: Path) -> Iterable[TestCase]:
    for child in element:
        if child.tag == "testsuite":
            yield from _cases(child, child.get("name") or suite, root)
        elif child.tag == "testcase":
            yield _case(child, suite or element.get("name") or "", root)


def _case(element: ET.Element, suite: str, root: Path) -> TestCase:
    classname = element.get("classname")
    file = element.get("file")
    status: Status = "passed"
    message = ""
    for child in element:
        found: Status | None = {"failure": "failed", "error": "error", "skipped": "skipped"}.get(child.tag)  # type: ignore[assignment]  # get() widens the literals to str
        if found and _WORST_FIRST.index(found) < _WORST_FIRST.index(status):
            status, message = found, clean(_message(child), root)
    if element.get("status") in ("skipped", "notrun", "disabled") and status == "passed":
        status = "skipped"
    return TestCase(
        id=f"{suite if classname is None else classname}::{element.get('name') or ''}",
        file=None if file is None else _relative(file, root),
        status=status,
        message=message,
    )


def _message(outcome: ET.Element) -> str:
    """What went wrong, without the test's source where the runner tells the two apart."""
    said, text = (outcome.get("message") or "").strip(), (outcome.text or "").strip()
    if not _GENERIC.fullmatch(said):
        return said
    # pytest marks the lines that say what went wrong; the others quote the test
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return "\n".join(marked) or text or said


def _relative(file: str, root: Path) -> str:
    return os.path.relpath(file, root) if file.startswith("/") else os.path.normpath(file)


def _merged(cases: Iterable[TestCase]) -> list[TestCase]:
    """One entry per test: of several outcomes under one id and file, the worst."""
    merged: dict[tuple[str, str | None], TestCase] = {}
    for case in cases:
        key = (case.id, case.file)
        known = merged.get(key)
        if known is None:
            merged[key] = case
        elif _WORST_FIRST.index(case.status) < _WORST_FIRST.index(known.status):
            merged[key] = replace(known, status=case.status, message=case.message)
    return list(merged.values())
