"""Anthropic's Messages API.

`client` uses it for `anthropic:` models. Source: Anthropic API reference, "Create a message", "Streaming" and
"Prompt caching"; held to the `anthropic` SDK in tests/contracts/models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, cast

from pydantic import BaseModel

from phasegate.agents.models.conversation import (
    ANSWER,
    AssistantMessage,
    JsonObject,
    Message,
    TokenCount,
    TokenUsage,
    ToolSpec,
    arguments_to_show,
    encode_json,
    native_items,
    read_call,
    text_of,
)
from phasegate.agents.models.stops import StopWords
from phasegate.agents.models.wire import (
    GrowingText,
    ParsedResponse,
    RequestPrefix,
    ResponseFailed,
    parsed_response,
)
from phasegate.infra.documents.json_text import read_json

API_VERSION = "2023-06-01"
MAX_OUTPUT_TOKENS = 32_000
"""The API demands a figure; this is what every Claude 4 and later model allows."""

_CACHE: JsonObject = {"type": "ephemeral"}
_STOP_WORDS = StopWords(
    whole=frozenset({"end_turn", "tool_use", "stop_sequence"}),
    refused=frozenset({"refusal"}),
)
"""`pause_turn` is none of them: only the provider's own tools pause, and phasegate names none."""


class _Problem(BaseModel, extra="allow"):
    type: str = "error"
    message: str = "no message"


class _Usage(BaseModel):
    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    cache_creation_input_tokens: TokenCount = 0
    cache_read_input_tokens: TokenCount = 0


class _Event(BaseModel):
    type: str
    index: int = 0
    message: JsonObject = {}
    content_block: JsonObject = {}
    delta: JsonObject = {}
    usage: JsonObject = {}
    error: _Problem | None = None


class _Delta(BaseModel):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _StopDetails(BaseModel):
    explanation: str | None = None


class _Document(BaseModel):
    type: str
    model: str = ""
    content: list[JsonObject] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    usage: _Usage = _Usage()
    error: _Problem | None = None


class _Block(BaseModel):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: object = None


class _StreamAccumulator:
    """Builds the message up block by block."""

    def __init__(self) -> None:
        self._message: JsonObject = {}
        self._blocks: dict[int, JsonObject] = {}
        self._texts: dict[tuple[int, str], GrowingText] = {}
        self._finished = False

    def add(self, event: str) -> str:
        """As `wire.StreamAccumulator`."""
        parsed = _Event.model_validate(read_json(event, "an event", ANSWER))
        match parsed.type:
            case "message_start":
                self._message = dict(parsed.message)
            case "content_block_start":
                self._blocks[parsed.index] = dict(parsed.content_block)
            case "content_block_delta":
                return self._add_delta(parsed.index, _Delta.model_validate(parsed.delta))
            case "message_delta":
                self._message |= parsed.delta
                counted = {key: value for key, value in parsed.usage.items() if value is not None}
                self._message["usage"] = _table(self._message.get("usage")) | counted
            case "message_stop":
                self._finished = True
            case "error":
                problem = parsed.error or _Problem()
                raise ResponseFailed(problem.type, problem.message, problem.model_dump())
            case _:
                pass
        return ""

    def _add_delta(self, index: int, delta: _Delta) -> str:
        block = self._blocks.get(index)
        if block is None:
            raise ValueError(f"a delta came for block {index}, which has not begun")
        match delta.type:
            case "text_delta":
                self._grow(index, "text", text_of(block.get("text")), delta.text)
            case "thinking_delta":
                self._grow(index, "thinking", text_of(block.get("thinking")), delta.thinking)
            case "signature_delta":
                block["signature"] = delta.signature
            case "input_json_delta":
                self._grow(index, "input", "", delta.partial_json)
            case _:
                pass
        return delta.text

    def _grow(self, index: int, key: str, before: str, text: str) -> None:
        self._texts.setdefault((index, key), GrowingText(before)).add(text)

    def document(self) -> JsonObject | None:
        """As `wire.StreamAccumulator`; a tool's arguments stay text, for they may be malformed."""
        if not self._finished:
            return None
        for (index, key), text in self._texts.items():
            self._blocks[index][key] = str(text)
        return self._message | {"content": [self._blocks[index] for index in sorted(self._blocks)]}


class MessagesProtocol:
    """`POST /v1/messages`."""

    path: ClassVar[str] = "messages"

    def headers(self, key: str) -> dict[str, str]:
        """As `wire.WireProtocol`."""
        return {"x-api-key": key, "anthropic-version": API_VERSION}

    def request_prefix(self, model: str, instructions: str, tools: Sequence[ToolSpec], thread: str) -> RequestPrefix:
        """As `wire.WireProtocol`; this API finds the prompt's cache by the prompt alone, not by the thread.

        The outer `cache_control` lets the API set a breakpoint after the last message by itself: a marker of our
        own there would move with every turn, and no request would begin with the one before.
        """
        del thread
        head: JsonObject = {
            "model": model,
            "max_tokens": MAX_OUTPUT_TOKENS,
            "stream": True,
            "cache_control": _CACHE,
            "system": [{"type": "text", "text": instructions, "cache_control": _CACHE}],
        }
        if tools:
            head["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools
            ]
        return RequestPrefix(head, "messages")

    def encode(self, message: Message, origin: str) -> Iterable[JsonObject]:
        """As `wire.WireProtocol`; consecutive messages of one role are joined by the API."""
        match message["role"]:
            case "user":
                yield {"role": "user", "content": message["text"]}
            case "assistant":
                blocks = [block for block in native_items(message, origin) or _blocks(message) if not _is_blank(block)]
                if blocks:  # the API refuses a message without content, which it does sometimes send
                    yield {"role": "assistant", "content": blocks}
            case "tools":
                results = [
                    {
                        "type": "tool_result",
                        "tool_use_id": result["id"],
                        "content": result["output"],
                        "is_error": result["failed"],
                    }
                    for result in message["results"]
                ]
                yield {"role": "user", "content": results}

    def accumulator(self) -> _StreamAccumulator:
        """As `wire.WireProtocol`."""
        return _StreamAccumulator()

    def read(self, document: JsonObject, origin: str) -> ParsedResponse:
        """As `wire.WireProtocol`."""
        parsed = _Document.model_validate(document)
        if parsed.error is not None:
            raise ResponseFailed(parsed.error.type, parsed.error.message, parsed.error.model_dump())
        blocks = [_Block.model_validate(block) for block in parsed.content]
        calls = [read_call(block.id, block.name, _raw(block.input)) for block in blocks if block.type == "tool_use"]
        inputs = iter(arguments_to_show(call) for call in calls)
        text = "".join(block.text for block in blocks if block.type == "text")
        details = parsed.stop_details or _StopDetails()
        return parsed_response(
            text,
            calls,
            origin=origin,
            items=[
                block | {"input": next(inputs)} if block["type"] == "tool_use" else block for block in parsed.content
            ],
            stop=_STOP_WORDS.read(parsed.stop_reason, details.explanation or text),
            usage=_usage(parsed.usage),
            model=parsed.model,
        )


def _table(value: object) -> JsonObject:
    if value is None or isinstance(value, dict):
        return cast("JsonObject", value or {})
    raise ValueError(f"a table was expected, not a {type(value).__name__}")


def _raw(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else encode_json(arguments or {}).decode()


def _blocks(message: AssistantMessage) -> list[JsonObject]:
    calls = [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": arguments_to_show(call)}
        for call in message["calls"]
    ]
    return [{"type": "text", "text": message["text"]}, *calls]


def _is_blank(block: JsonObject) -> bool:
    return block.get("type") == "text" and not str(block.get("text", "")).strip()


def _usage(usage: _Usage) -> TokenUsage:
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return TokenUsage(usage.input_tokens + read + written, read, usage.output_tokens, written)
