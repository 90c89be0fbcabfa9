"""Server-sent events, however the network cuts them."""

from __future__ import annotations

import pytest

from phasegate.agents.models.sse import SseDecoder

STREAM = ': comment\n\nevent: a\ndata: {"x": "ü\u2028\x85"}\n\ndata:one\r\ndata: two\r\n\r\nid: 7\n\ndata: cut'.encode()
EVENTS = ['{"x": "ü\u2028\x85"}', "one\ntwo"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_chunks_of_any_size(size: int) -> None:
    decoder = SseDecoder()
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == EVENTS
