"""Answers of a provider, spelled as each of the three protocols streams them, and a stub on loopback that gives them.

The real clients are driven with whatever a test wants an answer to be: cut, refused, odd, or an error.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from phasegate.agents.models.conversation import JsonObject
from phasegate.agents.rehearsal.loopback import LoopbackServer

ProtocolName = Literal["openai", "anthropic", "compatible"]
Call: TypeAlias = tuple[str, str, str]
"""Id, name, and arguments as text."""
_WHOLE: Mapping[ProtocolName, tuple[str, str]] = {
    "openai": ("completed", "completed"),
    "anthropic": ("end_turn", "tool_use"),
    "compatible": ("stop", "tool_calls"),
}
CUT: Mapping[ProtocolName, str] = {
    "openai": "max_output_tokens",
    "anthropic": "max_tokens",
    "compatible": "length",
}
"""The word of each protocol for an answer that reached the provider's limit."""
FILTERED: Mapping[ProtocolName, str] = {
    "openai": "content_filter",
    "anthropic": "refusal",
    "compatible": "content_filter",
}
"""The word of each protocol for a refusal or a content filter."""


@dataclass(frozen=True)
class Answer:
    """An answer of a model.

    Attributes:
        text: Its text.
        calls: Its calls.
        stop: The provider's word; empty for that of a whole answer, None for none at all.
        refusal: The refusal, in the protocol's own field; Messages has none.
        thinking: Its reasoning.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    stop: str | None = ""
    refusal: str = ""
    thinking: str = ""

    def stream(self, protocol: ProtocolName) -> bytes:
        """The answer as the protocol streams it."""
        events = {"openai": self._responses, "anthropic": self._messages, "compatible": self._chat}[protocol]()
        return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)

    def _word(self, protocol: ProtocolName) -> str | None:
        return _WHOLE[protocol][bool(self.calls)] if self.stop == "" else self.stop

    def _responses(self) -> list[JsonObject]:
        items: list[JsonObject] = []
        if self.thinking:
            items.append({"type": "reasoning", "id": "rs_1", "encrypted_content": self.thinking, "summary": []})
        if self.text or self.refusal:
            content = [{"type": "output_text", "text": self.text}] if self.text else []
            content += [{"type": "refusal", "refusal": self.refusal}] if self.refusal else []
            items.append({"type": "message", "role": "assistant", "content": content})
        items += [
            {"type": "function_call", "call_id": call_id, "name": name, "arguments": raw}
            for call_id, name, raw in self.calls
        ]
        response: JsonObject = {"status": "completed", "output": items, "usage": _USAGE_OPENAI}
        if (word := self._word("openai")) != "completed":
            response |= {"status": "incomplete", "incomplete_details": {"reason": word} if word else None}
        return [{"type": f"response.{response['status']}", "response": response}]

    def _messages(self) -> list[JsonObject]:
        blocks: list[tuple[JsonObject, JsonObject]] = []
        if self.thinking:
            block: JsonObject = {"type": "thinking", "thinking": "", "signature": ""}
            blocks.append((block, {"type": "thinking_delta", "thinking": self.thinking}))
        if self.text or self.refusal:
            delta: JsonObject = {"type": "text_delta", "text": self.text or self.refusal}
            blocks.append(({"type": "text", "text": ""}, delta))
        for call_id, name, raw in self.calls:
            start: JsonObject = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            blocks.append((start, {"type": "input_json_delta", "partial_json": raw}))
        message: JsonObject = {"type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
        events: list[JsonObject] = [{"type": "message_start", "message": message | {"usage": {"input_tokens": 9}}}]
        for index, (block, delta) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
            events.append({"type": "content_block_stop", "index": index})
        ending = {"stop_reason": self._word("anthropic"), "stop_sequence": None}
        events.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": 3}})
        return [*events, {"type": "message_stop"}]

    def _chat(self) -> list[JsonObject]:
        delta: JsonObject = {"role": "assistant", "content": self.text or None}
        if self.refusal:
            delta["refusal"] = self.refusal
        if self.thinking:
            delta["reasoning_content"] = self.thinking
        if self.calls:
            delta["tool_calls"] = [
                {"index": at, "id": call_id, "type": "function", "function": {"name": name, "arguments": raw}}
                for at, (call_id, name, raw) in enumerate(self.calls)
            ]
        ending: JsonObject = {"choices": [{"delta": {}, "finish_reason": self._word("compatible")}]}
        usage = {"prompt_tokens": 9, "completion_tokens": 3}
        return [{"choices": [{"delta": delta}]}, ending, {"choices": [], "usage": usage}]


_USAGE_OPENAI = {"input_tokens": 9, "output_tokens": 3}


@dataclass(frozen=True)
class Refused:
    """An answer that is not a success.

    Attributes:
        status: The status.
        body: The document.
        headers: Headers besides the type of the content.
    """

    status: int
    body: Any = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class ModelStub:
    """Provider on loopback that gives answers in their order, in the protocol it is asked in.

    Attributes:
        answers: The answers that are left, for each model by its name (without provider).
        asked: The requests so far: the model, and the document.
        holds: Models that do not answer any more, once their answers are used up.
        url: The address, once it is served.
    """

    answers: dict[str, list[Answer | Refused]] = field(default_factory=dict[str, list[Answer | Refused]])
    asked: list[tuple[str, JsonObject]] = field(default_factory=list[tuple[str, JsonObject]])
    holds: set[str] = field(default_factory=set[str])
    url: str = ""

    def says(self, model: str, *answers: Answer | Refused) -> None:
        """Add answers of a model."""
        self.answers.setdefault(model, []).extend(answers)

    def asked_of(self, model: str) -> list[JsonObject]:
        """The requests that a model got."""
        return [document for name, document in self.asked if name == model]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        document: JsonObject = json.loads(body)
        model = str(document["model"])
        self.asked.append((model, document))
        if model in self.holds and not self.answers.get(model):
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        left = self.answers.get(model) or [Refused(400, {"error": {"message": f"the test has no answer of {model}"}})]
        answer = left.pop(0)
        if isinstance(answer, Refused):
            await _send(send, answer.status, {"content-type": "application/json", **answer.headers}, answer.body)
        else:
            await _send(send, 200, {"content-type": "text/event-stream"}, answer.stream(_protocol(scope["path"])))


async def _send(send: Send, status: int, headers: Mapping[str, str], body: Any) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    await send({"type": "http.response.body", "body": content})


def _protocol(path: str) -> ProtocolName:
    if path.endswith("/responses"):
        return "openai"
    return "anthropic" if path.endswith("/messages") else "compatible"


@asynccontextmanager
async def serving(stub: ModelStub) -> AsyncGenerator[ModelStub]:
    """Serve a stub until the block ends."""
    async with LoopbackServer(stub) as server:
        stub.url = server.url
        yield stub
