"""P17: an answer is put together in proportion to its length, however it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.growth import require_linear

from phasegate.agents.models.chat_completions import ChatCompletionsProtocol
from phasegate.agents.models.messages import MessagesProtocol
from phasegate.agents.models.sse import SseDecoder


def chat(**delta: Any) -> str:
    return json.dumps({"choices": [{"delta": delta}]})


def block(index: int, **delta: Any) -> str:
    return json.dumps({"type": "content_block_delta", "index": index, "delta": delta})


def test_an_event_in_many_chunks_is_put_together_once() -> None:
    """Mutation tried: the rest of the last chunk in front of the next one, as one text."""

    def decode(size: int) -> None:
        decoder = SseDecoder()
        chunk = b"x" * 100
        events = [event for _ in range(size) for event in decoder.feed(chunk)]
        events += decoder.feed(b"\n\n")
        assert events == []

    require_linear(lambda size: size, decode, 20_000)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x" * 400},
        {"reasoning_content": "x" * 400},
        {"reasoning_details": [{"text": "x"}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "run", "arguments": "x" * 400}}]},
    ],
)
def test_many_deltas_of_chat_completions(delta: dict[str, Any]) -> None:
    """Mutation tried: texts added up as they come."""

    def add(size: int) -> None:
        assembly = ChatCompletionsProtocol().accumulator()
        event = chat(**delta)
        for _ in range(size):
            assembly.add(event)
        assembly.add(json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
        document = assembly.document()
        assert document is not None
        assert len(json.dumps(document["choices"][0]["message"])) > size

    require_linear(lambda size: size, add, 4_000)


@pytest.mark.parametrize(
    ("kind", "key"), [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
)
def test_many_deltas_of_messages(kind: str, key: str) -> None:
    def add(size: int) -> None:
        assembly = MessagesProtocol().accumulator()
        assembly.add(json.dumps({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}))
        event = block(0, type=kind, **{key: "x" * 400})
        for _ in range(size):
            assembly.add(event)
        assembly.add(json.dumps({"type": "message_stop"}))
        document = assembly.document()
        assert document is not None
        assert len(json.dumps(document["content"][0])) > 400 * size

    require_linear(lambda size: size, add, 4_000)
