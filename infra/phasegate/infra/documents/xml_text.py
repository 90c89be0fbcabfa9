"""XML of others, as events: elements with bounded depth, and no document type, so that there is nothing to expand.

Expat reads without recursion; the depth is bounded for whoever keeps a stack of elements.
"""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Callable
from dataclasses import dataclass

from phasegate.infra.documents.bounds import MIB, DocumentBounds

XML = DocumentBounds(size=256 * MIB, depth=200, values=20_000_000)
"""Bounds of a report; `size` is of the text once decoded, spelled as UTF-8."""


class XmlRefused(ValueError):
    """The document does not hold, or is past a bound.

    Attributes:
        reason: A clause that says why.
        offset: The byte at which it shows.
    """

    def __init__(self, reason: str, offset: int) -> None:
        """Keep the reason and the place."""
        super().__init__(reason)
        self.reason, self.offset = reason, offset


@dataclass(frozen=True)
class XmlHandlers:
    """Receivers of a document's events; each may raise.

    Attributes:
        start: An element's qualified name and attributes.
        end: The end of the element that was started last.
        text: Text between.
    """

    start: Callable[[str, dict[str, str]], None]
    end: Callable[[], None]
    text: Callable[[str], None]


class XmlReader:
    """Reads one document."""

    def __init__(self, data: bytes, handlers: XmlHandlers, bounds: DocumentBounds = XML) -> None:
        """Prepare to read a document in UTF-8; nothing is read yet."""
        self._data, self._handlers, self._bounds = data, handlers, bounds
        self._depth = self._elements = 0
        self._parser = xml.parsers.expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = handlers.text

    @property
    def offset(self) -> int:
        """The byte that is read."""
        return self._parser.CurrentByteIndex

    def read(self) -> None:
        """Read it to its end.

        Raises:
            XmlRefused: It is not XML, has a document type, or is past a bound.
        """
        if len(self._data) > self._bounds.size:
            raise XmlRefused(f"it is longer than {self._bounds.size:,} bytes", 0)
        try:
            self._parser.Parse(self._data, True)  # noqa: FBT003 - expat's own signature
        except xml.parsers.expat.ExpatError as error:
            raise XmlRefused(
                f"the report is not XML: {xml.parsers.expat.ErrorString(error.code)}", self._parser.ErrorByteIndex
            ) from error

    def _doctype(self, *_: object) -> None:
        raise XmlRefused("the report has a document type, which is refused", self.offset)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > self._bounds.values:
            raise XmlRefused(f"more than {self._bounds.values:,} elements", self.offset)
        if self._depth >= self._bounds.depth:
            raise XmlRefused(f"more than {self._bounds.depth} elements within each other", self.offset)
        self._depth += 1
        self._handlers.start(name, attributes)

    def _end(self, _: str) -> None:
        self._depth -= 1
        self._handlers.end()
