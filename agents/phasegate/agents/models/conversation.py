"""A conversation with a model, as plain JSON that belongs to no provider.

The agent loop keeps these messages in its LangGraph state; each wire protocol encodes them and reads replies back
into them. It must not know any provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypedDict

from pydantic import BeforeValidator, Field

from phasegate.agents.models.stops import Stop
from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable

JsonObject: TypeAlias = dict[str, Any]
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
ANSWER = DocumentBounds(size=32 * MIB)
"""Bounds of a whole answer, and of each of its events."""
ARGUMENTS = DocumentBounds(size=8 * MIB, depth=64, values=200_000)
"""Bounds of one call's arguments."""
TokenCount: TypeAlias = Annotated[
    int, BeforeValidator(lambda count: 0 if count is None else count), Field(ge=0, le=2**53)
]
"""Count of tokens as a provider gives it; null is none. What is larger is no count, and does not fit a database."""
StopReason = Literal["end", "calls", "cut", "refusal"]


class UserMessage(TypedDict):
    """A message from a person, or from phasegate in their place."""

    role: Literal["user"]
    text: str


class ToolCall(TypedDict):
    """A call that the model asks for; `args` is None when `raw` is not a JSON object."""

    id: str
    name: str
    args: JsonObject | None
    raw: str


class NativeItem(TypedDict):
    """A provider's own item, sent back as it came, and only to the model it came from.

    Reasoning is signed or encrypted for one model; `origin` is the `provider:model` that made it.
    """

    origin: str
    item: JsonObject


class AssistantMessage(TypedDict):
    """The model's answer; `stop` is there if it was cut or refused, and none of its calls is carried out."""

    role: Literal["assistant"]
    text: str
    calls: list[ToolCall]
    native: list[NativeItem]
    stop: NotRequired[Stop]


class ToolResult(TypedDict):
    """The result of a call."""

    id: str
    name: str
    output: str
    failed: bool


class ToolsMessage(TypedDict):
    """Results of the preceding assistant message's calls, in their order."""

    role: Literal["tools"]
    results: list[ToolResult]


Message: TypeAlias = UserMessage | AssistantMessage | ToolsMessage


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool's description for the model.

    Attributes:
        name: Letters, digits, `_` and `-`.
        description: What it does and when to use it.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one or more exchanges.

    Attributes:
        input_tokens: All input, cached or not.
        cached_input_tokens: The part of the input that was read from the provider's prompt cache.
        output_tokens: All output, reasoning included.
        cache_write_tokens: The part of the input that was written to that cache, which some providers charge more for.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """The tokens of both."""
        return TokenUsage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished exchange with a model.

    Attributes:
        message: What to append to the conversation.
        usage: The tokens the provider counted.
        model: The model's name as the provider gave it.
        stop_reason: `end`, `calls` (it waits for results), `cut` (it is not whole), or `refusal`.
        request: The body as sent.
        response: The body as received, SSE text or JSON; where it was redacted, the whole answer as JSON.
        latency_seconds: From sending the request that succeeded to its last byte.
    """

    message: AssistantMessage
    usage: TokenUsage
    model: str
    stop_reason: StopReason
    request: bytes
    response: str
    latency_seconds: float


def read_call(call_id: str, name: str, raw: str) -> ToolCall:
    """A call from its arguments as the model wrote them; no arguments at all mean `{}`."""
    return {"id": call_id, "name": name, "args": parse_arguments(raw), "raw": raw}


def parse_arguments(raw: str) -> JsonObject | None:
    """The arguments as an object, or None when they are not one."""
    if not raw.strip():
        return {}
    try:
        return read_json_table(raw, "the arguments", ARGUMENTS)
    except DocumentUnreadable:
        return None


def arguments_to_show(call: ToolCall) -> JsonObject:
    """The arguments as an object in any case: malformed ones are shown to the model inside one.

    Anthropic takes objects only, and the chat templates of local servers parse the arguments.
    """
    return call["args"] if call["args"] is not None else {"malformed_arguments": call["raw"]}


def native_items(message: AssistantMessage, origin: str) -> list[JsonObject]:
    """The provider's own items of this message, if the model `origin` made them."""
    return [native["item"] for native in message["native"] if native["origin"] == origin]


def encode_json(value: object) -> bytes:
    """Encode as compact UTF-8 JSON; characters that UTF-8 cannot hold, such as lone surrogates, become `?`."""
    return _COMPACT.encode(value).encode("utf-8", "replace")


def text_of(value: object) -> str:
    """A field of text as a provider gave it; a field that is null or missing is empty.

    Raises:
        ValueError: It is something else than text.
    """
    if value is None or isinstance(value, str):
        return value or ""
    raise ValueError(f"a text was expected, not a {type(value).__name__}")
