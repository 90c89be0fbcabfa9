"""Server-sent events, however the network cuts them."""

from __future__ import annotations

import time

import pytest

from phasegate.agents.models.sse import SseDecoder

STREAM = ': comment\n\nevent: a\ndata: {"x": "ü\u2028\x85"}\n\ndata:one\r\ndata: two\r\n\r\nid: 7\n\ndata: cut'.encode()
EVENTS = ['{"x": "ü\u2028\x85"}', "one\ntwo"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_chunks_of_any_size(size: int) -> None:
    decoder = SseDecoder()
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == EVENTS


def test_an_event_of_many_chunks_takes_time_in_proportion() -> None:
    """P17. Mutation tried: what is left of a line is copied with each chunk."""
    event = b"data: " + b"x" * 32_000_000 + b"\n\n"
    decoder, began = SseDecoder(), time.thread_time()
    events = [text for at in range(0, len(event), 4_096) for text in decoder.feed(event[at : at + 4_096])]
    assert [len(text) for text in events] == [32_000_000]
    assert time.thread_time() - began < 5
