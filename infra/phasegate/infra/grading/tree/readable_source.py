"""Source as rules look at it: no more of it, and no longer lines, than any rule can search in a moment.

Called where rules are held against a change. Rules are regular expressions over lines that people write; a line of a
megabyte would keep one of them busy for minutes. What is left out is told, so that a person looks. It must not know
the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from phasegate.infra.grading.tree.diff import Hunk

LONGEST_LINE = 2_000
"""Bytes of a line that are looked at."""
LONGEST_GAP = 500
"""Bytes of blank lines in a row, beyond which no rule looks."""
LARGEST = 500_000
"""Bytes of a file that are looked at."""


@dataclass(frozen=True)
class ReadableSource:
    """A file's content, as far as rules look at it.

    Attributes:
        content: The content; `None` if there is no file.
        left_out: What is left out of it, in words; empty if nothing is.
    """

    content: bytes | None
    left_out: str = ""

    @classmethod
    def of(cls, content: bytes | None) -> ReadableSource:
        """Take what rules look at."""
        if content is None:
            return cls(None)
        lines = content[:LARGEST].split(b"\n")
        long_lines = [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]
        words: list[str] = []
        if long_lines:
            words.append(f"line {long_lines[0]} beyond its first {LONGEST_LINE} bytes")
        if len(long_lines) > 1:
            words[-1] = f"line {long_lines[0]}, and {len(long_lines) - 1} more, beyond {LONGEST_LINE} bytes"
        if blank := _long_gap(lines):
            lines = lines[:blank]
            words.append(f"what follows line {blank}, behind which nothing stands for long")
        if len(content) > LARGEST:
            words.append(f"what follows its first {LARGEST} bytes")
        if not words:
            return cls(content)
        return cls(b"\n".join(line[:LONGEST_LINE] for line in lines), " and ".join(words))

    def pieces(self, hunks: list[Hunk]) -> list[Hunk]:
        """The pieces of the file's change, as far as rules look at it."""
        if not self.left_out or self.content is None:
            return hunks
        last = self.content.count(b"\n") + 1
        return [
            replace(
                hunk,
                added=tuple((number, text[:LONGEST_LINE]) for number, text in hunk.added if number <= last),
                removed=tuple(text[:LONGEST_LINE] for text in hunk.removed),
            )
            for hunk in hunks
            if hunk.start <= last
        ]


def _long_gap(lines: list[bytes]) -> int:
    """The line before the first long run of blank lines, or 0 if there is none."""
    blank, last = 0, 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            blank, last = 0, number
        else:
            blank += len(line) + 1
        if blank > LONGEST_GAP:
            return max(1, last)
    return 0
