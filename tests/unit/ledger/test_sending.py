"""Stored requests: whatever was sent before, they can be put together again and have their digests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasegate.infra.artifacts import sha256
from phasegate.infra.ledger.storage.deltas import DeltaEncoder
from phasegate.infra.ledger.storage.packing import pack, unpack

messages = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("é€😀]}"), max_size=6)


@given(st.lists(st.tuples(messages, st.sampled_from(["grows", "begins anew"])), min_size=1, max_size=6))
def test_requests_are_put_together_from_their_parts(steps: list[tuple[str, str]]) -> None:
    """Mutations tried: a beginning is not compared; `_at_character` tears characters; characters counted as bytes."""
    sent, said, previous, stored = DeltaEncoder(), "", b"", ""
    for text, how in steps:
        said = said + text if how == "grows" else text
        request = f'{{"m":[{said}]}}'.encode()
        part = sent.encode("one", request, previous)
        stored = stored[: part.shared] + part.rest
        assert stored.encode() == request
        assert part.digest == sha256(request)
        previous = request


def test_a_growing_conversation_is_stored_by_what_it_adds() -> None:
    """Mutation tried: what the next request is expected to begin with never grows."""
    sent, said, previous = DeltaEncoder(), "", b""
    rests: list[str] = []
    for number in range(4):
        said += f"message {number},"
        request = f'{{"m":[{said}]}}'.encode()
        rests.append(sent.encode("one", request, previous).rest)
        previous = request
    assert rests[1:] == ["message 1,]}", "message 2,]}", "message 3,]}"]


@given(messages, messages)
def test_what_is_packed_is_unpacked_with_the_same_known_text(text: str, known: str) -> None:
    assert unpack(pack(text, known), known) == text
