"""Bounds of a document: its size, depth, number of values and digits of a number. Used by all readers of the room."""

from __future__ import annotations

from dataclasses import dataclass

from phasegate.infra.errors import DocumentUnreadable

MIB = 1024 * 1024


@dataclass(frozen=True)
class DocumentBounds:
    """Bounds within which a document is read.

    Attributes:
        size: Bytes; of a text, characters.
        depth: Lists and tables within each other. All that walks a value by recursion relies on it.
        values: Values in all, those that an alias repeats included.
        digits: Characters of one number.
    """

    size: int = 8 * MIB
    depth: int = 100
    values: int = 500_000
    digits: int = 400

    def require_size(self, content: str | bytes, source: str) -> None:
        """Refuse a document that is too long.

        Raises:
            DocumentUnreadable: It is longer than `size`.
        """
        if len(content) > self.size:
            unit = "bytes" if isinstance(content, bytes) else "characters"
            raise unreadable(source, f"it is longer than {self.size:,} {unit}")

    def too_deep(self, source: str, line: int | None = None) -> DocumentUnreadable:
        """The error for a document whose values are too deep within each other."""
        return unreadable(source, f"it is nested more than {self.depth} deep", line)

    def too_many(self, source: str, line: int | None = None) -> DocumentUnreadable:
        """The error for a document of too many values."""
        return unreadable(source, f"it holds more than {self.values:,} values", line)

    def too_long_a_number(self, source: str, line: int | None = None) -> DocumentUnreadable:
        """The error for a number of too many digits."""
        return unreadable(source, f"it holds a number of more than {self.digits} digits", line)


STORED = DocumentBounds(size=512 * MIB, depth=400, values=50_000_000, digits=4_000)
"""For what phasegate wrote itself, and others may have touched since: trails and bundles."""


def unreadable(source: str, reason: str, line: int | None = None, key: str = "") -> DocumentUnreadable:
    """The error for a document.

    Args:
        source: Name of the document, as a person knows it.
        reason: A clause without an end: `it is nested more than 100 deep`.
        line: The line, from 1, where there is one.
        key: The key or item, where there is one: `stages.prd[1].finish`.
    """
    where = ("" if line is None else f", line {line}") + (f", {key}" if key else "")
    return DocumentUnreadable(f"{source}{where}: {reason}", reason=reason, line=line, key=key)
