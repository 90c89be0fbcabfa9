from __future__ import annotations

from phasegate.infra.sandbox.process import Transcript


def test_short_output_is_kept_whole_and_handed_on_in_pieces() -> None:
    heard: list[str] = []
    transcript = Transcript(100, heard.append)
    for piece in (b"caf\xc3", b"\xa9 \xff", b""):
        transcript.add(piece)
    assert transcript.text() == "café �"
    assert "".join(heard) == "café �"


def test_long_output_loses_its_middle_and_says_so() -> None:
    transcript = Transcript(10, None)
    for digit in b"0123456789abcdefghij":
        transcript.add(bytes([digit]))
    assert transcript.text() == "01234\n[… 10 bytes left out …]\nfghij"


def test_one_large_piece_is_cut_like_many_small_ones() -> None:
    transcript = Transcript(10, None)
    transcript.add(b"0123456789abcdefghij")
    assert transcript.text() == "01234\n[… 10 bytes left out …]\nfghij"
