"""Calls of an answer, put into a form that every provider takes back.

The next request repeats an answer's calls with their results. A provider refuses that request if an id is missing,
given twice or malformed, or if a name is none. `wire.parsed_response` repairs both before anything reads a call, and
`wire.Encoder` translates the calls of another model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import uuid4

from phasegate.agents.models.conversation import AssistantMessage, Message, ToolCall, ToolResult, native_items

NO_NAME = "call_without_name"
"""Name of a call whose own name no provider takes back. No stage has such a tool, so the model is told."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ids that all three protocols accept. Sources: Anthropic's pattern of `tool_use.id`, OpenAI's length of `call_id`."""
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
"""Names of tools; some local servers put a namespace before them."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
"""Characters that OpenAI and Anthropic refuse in names."""


def new_call_id() -> str:
    """An id for a call whose server gave it none. A rehearsal compares requests without such ids."""
    return f"call_{uuid4().hex}"


def repaired(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """The calls of one answer, each with a valid id of its own and a valid name."""
    ids = set[str]()
    valid: list[ToolCall] = []
    for call in calls:
        call_id = call["id"] if _ID.fullmatch(call["id"]) and call["id"] not in ids else new_call_id()
        ids.add(call_id)
        name = call["name"] if _NAME.fullmatch(call["name"]) else NO_NAME
        valid.append({**call, "id": call_id, "name": name})
    return valid


class Translation:
    """Messages of a conversation as one model may be sent them, in their order.

    The model's own answers stay as they are. Calls of other models get new ids, because servers may count from zero in
    each answer. The results of a call get its id, too.
    """

    def __init__(self, origin: str) -> None:
        """Begin before the first message; `origin` is the `provider:model` that is asked."""
        self._origin = origin
        self._used = set[str]()
        self._renamed: dict[str, str] = {}

    def of(self, message: Message) -> Message:
        """The message, with ids and names that every provider takes."""
        if message["role"] == "assistant":
            self._renamed = {}
            valid = message if native_items(message, self._origin) else self._valid(message)
            self._used.update(call["id"] for call in valid["calls"])
            return valid
        if message["role"] == "tools" and self._renamed:
            results: list[ToolResult] = [
                {**result, "id": self._renamed.get(result["id"], result["id"])} for result in message["results"]
            ]
            return {**message, "results": results}
        return message

    def _valid(self, message: AssistantMessage) -> AssistantMessage:
        """An answer of another model, or one that goes back in plain form."""
        is_of_other = bool(message["native"])
        for call in message["calls"]:
            if is_of_other or call["id"] in self._used or not _ID.fullmatch(call["id"]):
                self._renamed[call["id"]] = f"call_{len(self._used)}_{len(self._renamed)}"
        calls: list[ToolCall] = [
            {
                **call,
                "id": self._renamed.get(call["id"], call["id"]),
                "name": _NOT_IN_NAMES.sub("_", call["name"]),
            }
            for call in message["calls"]
        ]
        return {**message, "calls": calls}
