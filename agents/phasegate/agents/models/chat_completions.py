"""OpenAI's Chat Completions, as gateways and local servers speak it, with their deviations allowed for.

`client` uses it for `compatible:` models. Source: OpenAI API reference, "Create chat completion"; held to the
`openai` SDK in tests/contracts/models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from phasegate.agents.models.calls import new_call_id
from phasegate.agents.models.conversation import (
    ANSWER,
    AssistantMessage,
    JsonObject,
    Message,
    TokenCount,
    TokenUsage,
    ToolCall,
    ToolSpec,
    arguments_to_show,
    encode_json,
    native_items,
    read_call,
)
from phasegate.agents.models.stops import StopWords, refusal
from phasegate.agents.models.wire import (
    GrowingText,
    ParsedResponse,
    RequestPrefix,
    ResponseFailed,
    parsed_response,
    settled,
)
from phasegate.infra.documents.json_text import read_json

_STOP_WORDS = StopWords(
    whole=frozenset(
        {
            *("stop", "tool_calls", "function_call"),
            # Words of other servers and gateways for the same: Text Generation Inference, Cohere, relays of Anthropic.
            *("eos", "eos_token", "stop_sequence", "complete", "end_turn", "tool_use", "tool_call"),
        }
    ),
    refused=frozenset({"content_filter", "refusal", "safety"}),
)
_FAILED = "error"
"""Word of gateways for an answer that its provider broke off. Source: OpenRouter's API reference, "Errors"."""


class _Problem(BaseModel, extra="allow"):
    code: str | int | None = None
    type: str | None = None
    message: str = "no message"


class _PromptDetails(BaseModel):
    cached_tokens: TokenCount = 0
    cache_write_tokens: TokenCount = 0


class _Usage(BaseModel):
    prompt_tokens: TokenCount = 0
    completion_tokens: TokenCount = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Choice(BaseModel):
    delta: JsonObject | None = None
    message: JsonObject | None = None
    finish_reason: str | None = None


class _Document(BaseModel):
    """A chunk of a stream, or a whole answer."""

    model: str = ""
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Problem | str | None = None

    def raise_error(self) -> None:
        """Raise `ResponseFailed` if this is an error."""
        if isinstance(self.error, str):
            raise ResponseFailed("error", self.error)
        if self.error is not None:
            word = str(self.error.code or self.error.type or "error")
            raise ResponseFailed(word, self.error.message, self.error.model_dump())


class _Function(BaseModel):
    name: str | None = None
    arguments: str | JsonObject | None = None

    def raw(self) -> str:
        """The arguments as text, which some servers give as an object."""
        arguments = self.arguments or ""
        return arguments if isinstance(arguments, str) else encode_json(arguments).decode()


class _CallDelta(BaseModel, extra="allow"):
    index: int | None = None
    id: str | None = None
    function: _Function = Field(default_factory=_Function)


class _Part(BaseModel):
    text: str | None = None
    refusal: str | None = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None

    def text(self) -> str:
        """The text, which some servers give in parts."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""

    def refused(self) -> str:
        """The refusal, in its own field or in a part; empty if there is none."""
        parts = self.content if isinstance(self.content, list) else []
        return self.refusal or "".join(part.refusal or "" for part in parts)


class _StreamAccumulator:
    """Adds deltas up; keys it does not know (`reasoning_content`, …) are kept, for the next request needs them."""

    def __init__(self) -> None:
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: list[JsonObject] = []
        self._positions: dict[int, int] = {}
        self._finish_reason: str | None = None
        self._usage: JsonObject | None = None
        self._model = ""

    def add(self, event: str) -> str:
        """As `wire.StreamAccumulator`."""
        if event.strip() == "[DONE]":
            return ""
        chunk = _Document.model_validate(read_json(event, "an event", ANSWER))
        chunk.raise_error()
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._usage = chunk.usage.model_dump()
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta or {}
        parsed = _Message.model_validate(delta)
        for call in parsed.tool_calls or []:
            self._add_call(call)
        for key, value in delta.items():
            if key not in {"role", "tool_calls"}:
                self._message[key] = _added(self._message.get(key), value)
        return parsed.text()

    def _add_call(self, delta: _CallDelta) -> None:
        """Add to the call it continues; servers that give no index, or always 0, tell calls apart by id."""
        at = len(self._calls) - 1 if delta.index is None else self._positions.get(delta.index, -1)
        if at < 0 or (delta.id and delta.id != self._calls[at]["id"]):
            call_id = delta.id or new_call_id()
            self._calls.append(
                {"id": call_id, "type": "function", "function": {"name": GrowingText(), "arguments": GrowingText()}}
            )
            at = len(self._calls) - 1
        if delta.index is not None:
            self._positions[delta.index] = at
        function = self._calls[at]["function"]
        function["name"].add(delta.function.name or "")
        function["arguments"].add(delta.function.raw())
        self._calls[at].update({key: value for key, value in (delta.model_extra or {}).items() if key != "type"})

    def document(self) -> JsonObject | None:
        """As `wire.StreamAccumulator`."""
        if self._finish_reason is None:
            return None
        calls = [{**call, "function": settled(call["function"])} for call in self._calls]
        message = settled(self._message) | ({"tool_calls": calls} if calls else {})
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {"model": self._model, "choices": [choice], "usage": self._usage}


class ChatCompletionsProtocol:
    """`POST /v1/chat/completions`."""

    path: ClassVar[str] = "chat/completions"

    def headers(self, key: str) -> dict[str, str]:
        """As `wire.WireProtocol`; local servers need no key."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def request_prefix(self, model: str, instructions: str, tools: Sequence[ToolSpec], thread: str) -> RequestPrefix:
        """As `wire.WireProtocol`; the thread stays here, for some servers reject keys they do not know."""
        del thread
        head: JsonObject = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
        if tools:
            head["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in tools
            ]
        return RequestPrefix(head, "messages", [{"role": "system", "content": instructions}])

    def encode(self, message: Message, origin: str) -> Iterable[JsonObject]:
        """As `wire.WireProtocol`."""
        match message["role"]:
            case "user":
                yield {"role": "user", "content": message["text"]}
            case "assistant":
                yield from native_items(message, origin) or [_assistant_item(message)]
            case "tools":
                for result in message["results"]:
                    yield {"role": "tool", "tool_call_id": result["id"], "content": result["output"]}

    def accumulator(self) -> _StreamAccumulator:
        """As `wire.WireProtocol`."""
        return _StreamAccumulator()

    def read(self, document: JsonObject, origin: str) -> ParsedResponse:
        """As `wire.WireProtocol`."""
        answer = _Document.model_validate(document)
        answer.raise_error()
        if not answer.choices or answer.choices[0].message is None:
            raise ValueError("the answer has no choices")
        native = answer.choices[0].message
        parsed = _Message.model_validate(native)
        calls = [
            read_call(call.id or new_call_id(), call.function.name or "", call.function.raw())
            for call in parsed.tool_calls or []
        ]
        word, refused = answer.choices[0].finish_reason, parsed.refused()
        if word == _FAILED:
            raise ResponseFailed("server_error", "the provider broke its answer off")
        return parsed_response(
            parsed.text() or refused,
            calls,
            origin=origin,
            items=[_sendable(native, calls)],
            stop=refusal("refusal", refused) if refused else _STOP_WORDS.read(word, parsed.text()),
            usage=_usage(answer.usage),
            model=answer.model,
        )


def _added(value: Any, more: Any) -> Any:
    """Merge a delta into a key's value: texts and lists grow, anything else is replaced."""
    if value is None or more is None:
        return value if more is None else more
    match value, more:
        case GrowingText(), str():
            value.add(more)
            return value
        case str(), str():
            return GrowingText(value, more)
        case list(), list():
            value.extend(more)  # pyright: ignore[reportUnknownMemberType]  # JSON has any shape
            return value  # pyright: ignore[reportUnknownVariableType]  # as above
        case _:
            return more


def _sendable(native: JsonObject, calls: list[ToolCall]) -> JsonObject:
    """The message as it came, but for empty keys and for malformed arguments, on which servers' templates break."""
    item = {key: value for key, value in native.items() if value is not None and value != []}
    item["content"] = native.get("content") or ""
    if calls:
        item["tool_calls"] = [
            {key: value for key, value in as_it_came.items() if key != "index"} | _call_item(call)
            for as_it_came, call in zip(native["tool_calls"], calls, strict=True)
        ]
    return item


def _assistant_item(message: AssistantMessage) -> JsonObject:
    item: JsonObject = {"role": "assistant", "content": message["text"]}
    if message["calls"]:
        item["tool_calls"] = [_call_item(call) for call in message["calls"]]
    return item


def _call_item(call: ToolCall) -> JsonObject:
    raw = call["raw"] if call["args"] is not None and call["raw"].strip() else _encoded_arguments(call)
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": raw}}


def _encoded_arguments(call: ToolCall) -> str:
    return encode_json(arguments_to_show(call)).decode()


def _usage(usage: _Usage | None) -> TokenUsage:
    if usage is None:
        return TokenUsage()
    details = usage.prompt_tokens_details or _PromptDetails()
    return TokenUsage(usage.prompt_tokens, details.cached_tokens, usage.completion_tokens, details.cache_write_tokens)
