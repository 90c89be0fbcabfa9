"""Compaction of a long thread to its model's window: requests leave out old tool outputs, the thread keeps them.

The loop asks after every turn. Compaction is rare and done in one big step, because each time the provider's prompt
cache must read the whole thread again. In between, each request begins with the previous one, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from phasegate.agents.loop.state import Said
from phasegate.agents.models.conversation import Message, ToolResult, encode_json

_FULL = 0.7
"""The share of the window at which room is made."""
_KEPT = 0.25
"""The share of the window that the latest messages may fill; they stay whole."""
_WORTH = 0.1
"""The share of the window that must come free; less is not worth reading the whole thread again."""
BYTES_PER_TOKEN = 4
"""A rule of thumb, for what no provider has counted."""
_SHORT = 400
"""Characters of an output that is never left out."""


def compacted_to(conversation: Sequence[Said], before: int, *, input_tokens: int, window: int) -> int:
    """Find the message before which requests leave out tool outputs from now on.

    Args:
        conversation: The thread.
        before: The number of messages whose outputs are left out already.
        input_tokens: The provider's count for the last request.
        window: Tokens of input the model takes.

    Returns:
        A number of messages, at least `before`.
    """
    if input_tokens < _FULL * window:
        return before
    room, start = _KEPT * window * BYTES_PER_TOKEN, len(conversation)
    while start > before and (room := room - len(encode_json(conversation[start - 1]["said"]))) > 0:
        start -= 1
    freed = sum(
        len(result["output"]) - len(_left_out(result)["output"])
        for entry in conversation[before:start]
        if entry["said"]["role"] == "tools"
        for result in entry["said"]["results"]
    )
    return start if freed >= _WORTH * window * BYTES_PER_TOKEN else before


def shown(conversation: Sequence[Said], start: int, end: int) -> Iterable[Message]:
    """The messages of a thread as the model is sent them; outputs before `end` are left out."""
    for place, entry in enumerate(conversation[start:], start):
        message = entry["said"]
        if message["role"] == "tools" and place < end:
            yield {"role": "tools", "results": [_left_out(result) for result in message["results"]]}
        else:
            yield message


def _left_out(result: ToolResult) -> ToolResult:
    output = result["output"]
    if len(output) <= _SHORT:
        return result
    note = f"[{len(output)} characters left out to save room; call {result['name']} again to see them]"
    return {**result, "output": f"{output[: _SHORT // 2]}…\n{note}"}
