"""Walk through one report's XML with bounded depth, memory and number of tests.

Called by `junit`. The report was written by untrusted code: no document type is accepted, so there is nothing to
expand. It must not know what a test's status is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from phasegate.infra.documents.xml_text import XmlHandlers, XmlReader, XmlRefused
from phasegate.infra.grading.runner.report_text import ReportText, ReportUnreadable, decode

CASES_LIMIT = 300_000
"""Tests in one report."""
REFERENCES_LIMIT = 500_000
"""References to characters (`&#27;`) in one report: each that XML does not have is spelled otherwise."""
_TEXT_LIMIT = 200_000
"""Characters kept of the beginning of an outcome's text; of its end, as many."""
_OUTCOMES = ("failure", "error", "skipped")
_SUITES = ("testsuites", "testsuite")
_CLOSED = (*_OUTCOMES, "properties", "system-out", "system-err", "rerunFailure", "rerunError", "flakyFailure")
"""Elements within which no test stands."""


@dataclass
class Outcome:
    """Outcome of a test, by a `<failure>`, `<error>` or `<skipped>`."""

    kind: str
    message: str
    head: list[str] = field(default_factory=list)
    tail: str = ""
    size: int = 0

    def add(self, text: str) -> None:
        """Keep the text's beginning and end."""
        if self.size < _TEXT_LIMIT:
            self.head.append(text)
            self.size += len(text)
        else:
            self.tail = (self.tail + text)[-_TEXT_LIMIT:]

    @property
    def text(self) -> str:
        """The element's text, as far as it was kept."""
        return "".join(self.head) + self.tail


@dataclass
class RawCase:
    """A `<testcase>` as it stands in the report."""

    attributes: dict[str, str]
    suite: int
    """The number of the element that holds it."""
    suite_name: str
    suite_file: str | None
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass
class _Element:
    tag: str
    number: int
    suite_name: str
    suite_file: str | None
    case: RawCase | None = None
    outcome: Outcome | None = None
    closed: bool = False


class _Walk:
    def __init__(self, text: ReportText, name: str) -> None:
        self.cases: list[RawCase] = []
        self._text, self._name = text, name
        self._stack: list[_Element] = []
        self._number = 0
        self._data = text.as_xml().encode()
        self._reader = XmlReader(self._data, XmlHandlers(self._start, self._end, self._said))

    def walk(self) -> list[RawCase]:
        try:
            self._reader.read()
        except XmlRefused as error:
            raise self._refusal(error.reason, error.offset) from error
        return self.cases

    def _refusal(self, why: str, offset: int | None = None) -> ReportUnreadable:
        before = self._data[: self._reader.offset if offset is None else offset].decode(errors="ignore")
        return ReportUnreadable(
            f"{self._name}: {why} (byte {self._text.byte_at(len(before))}, line {before.count(chr(10)) + 1})"
        )

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        tag = qualified.rpartition(":")[2]
        above = self._stack[-1] if self._stack else _Element("", 0, "", None)
        if not self._stack and tag not in _SUITES:
            raise self._refusal(f"the report's root is <{tag[:80]}>, not <testsuites>")
        self._number += 1
        element = _Element(tag, above.number, above.suite_name, above.suite_file, closed=above.closed)
        if above.closed:
            element.outcome = above.outcome
        elif tag in _SUITES:
            # the number tells two suites of one name apart
            element.number = self._number
            element.suite_name = attributes.get("name") or above.suite_name
            element.suite_file = attributes.get("file") or attributes.get("filepath") or above.suite_file
        elif tag == "testcase":
            element.case = RawCase(attributes, above.number, above.suite_name, above.suite_file)
            self.cases.append(element.case)
            if len(self.cases) > CASES_LIMIT:
                raise self._refusal(f"more than {CASES_LIMIT} tests")
        elif tag in _CLOSED:
            element.closed = True
            if tag in _OUTCOMES and above.case is not None:
                element.outcome = Outcome(tag, attributes.get("message") or "")
                above.case.outcomes.append(element.outcome)
        self._stack.append(element)

    def _end(self) -> None:
        self._stack.pop()

    def _said(self, text: str) -> None:
        if self._stack and (outcome := self._stack[-1].outcome) is not None:
            outcome.add(text)


def walk(data: bytes, name: str) -> list[RawCase]:
    """Read the tests of one report, in its order.

    Args:
        data: The whole file.
        name: The file's name, for messages.

    Raises:
        ReportUnreadable: Not whole XML of a known encoding; with a document type; past a limit.
    """
    text = decode(data, name)
    if text.text.count("&#") > REFERENCES_LIMIT:
        raise ReportUnreadable(f"{name}: more than {REFERENCES_LIMIT} characters spelled as numbers")
    return _Walk(text, name).walk()
