"""P17: rules look at no more of a source than they can search in a moment, and say what they leave out."""

from __future__ import annotations

import pytest

from phasegate.infra.grading.tree.diff import Hunk
from phasegate.infra.grading.tree.readable_source import LARGEST, LONGEST_GAP, LONGEST_LINE, ReadableSource


def test_what_people_write_is_looked_at_whole() -> None:
    content = b"def f():\n    return 1\n" * 5_000
    assert ReadableSource.of(content) == ReadableSource(content)
    assert ReadableSource.of(None) == ReadableSource(None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\n" + b"x" * 1_000_000 + b"\nb\n", f"line 2 beyond its first {LONGEST_LINE} bytes"),
        (b"x" * 3_000 + b"\n" + b"y" * 3_000, "line 1, and 1 more"),
        (b"line\n" * 400_000, f"what follows its first {LARGEST} bytes"),
        (b"a\n" + b"\n" * 1_000_000 + b"b\n", "what follows line 1"),
        (b"a\nb\n" + (b" " * 100 + b"\n") * 1_000, "what follows line 2"),
    ],
)
def test_what_is_left_out_is_said(content: bytes, words: str) -> None:
    source = ReadableSource.of(content)
    assert words in source.left_out
    assert source.content is not None
    assert len(source.content) <= LARGEST
    assert all(len(line) <= LONGEST_LINE for line in source.content.split(b"\n"))
    assert b"\n" * (LONGEST_GAP + 2) not in source.content


def test_pieces_are_cut_as_their_file_is() -> None:
    source = ReadableSource.of(b"short\n" + b"x" * 10_000)
    pieces = [Hunk("a.js", 1, 2, ((1, "short"), (2, "x" * 10_000)), ("y" * 10_000,))]
    (piece,) = source.pieces(pieces)
    assert piece.added == ((1, "short"), (2, "x" * LONGEST_LINE))
    assert piece.removed == ("y" * LONGEST_LINE,)
