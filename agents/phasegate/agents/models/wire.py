"""Port of a wire protocol, and the encoder that all protocols share.

`responses`, `chat_completions` and `messages` each implement `WireProtocol`; `client` drives it. Nothing here knows
HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from phasegate.agents.models.calls import Translation, repaired
from phasegate.agents.models.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    NativeItem,
    StopReason,
    TokenUsage,
    ToolCall,
    ToolSpec,
    encode_json,
)
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.stops import Stop

_CLOSING = b"]}"


@dataclass(frozen=True, slots=True)
class RequestPrefix:
    """The fixed part of every request of one conversation.

    Attributes:
        head: The keys before the list of messages.
        list_key: The key of that list, which comes last.
        first: Items of the list that never change.
    """

    head: Mapping[str, object]
    list_key: str
    first: Sequence[JsonObject] = field(default=())


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A provider's whole answer, read."""

    message: AssistantMessage
    usage: TokenUsage
    model: str
    stop_reason: StopReason


def parsed_response(
    text: str,
    calls: Sequence[ToolCall],
    *,
    origin: str,
    items: Iterable[JsonObject],
    stop: Stop | None,
    usage: TokenUsage,
    model: str,
) -> ParsedResponse:
    """Put an answer together from what a protocol read.

    The provider's own items go back as they came only with a whole answer whose calls needed no repair. Reasoning that
    was cut has no signature, and an id that is given twice is refused.

    Args:
        text: The text.
        calls: The calls, as the provider spelled them.
        origin: The `provider:model` that answered.
        items: The provider's own items.
        stop: The reason why the answer is not carried out; None if it is whole.
        usage: The tokens.
        model: The model's name as the provider gave it.
    """
    valid = repaired(calls)
    native: list[NativeItem] = [{"origin": origin, "item": item} for item in items]
    is_plain = stop is not None or valid != list(calls)
    message: AssistantMessage = {
        "role": "assistant",
        "text": text,
        "calls": valid,
        "native": [] if is_plain else native,
    }
    if stop is None:
        return ParsedResponse(message, usage, model, "calls" if valid else "end")
    message["stop"] = stop
    return ParsedResponse(message, usage, model, "cut" if stop["kind"] == "cut" else "refusal")


class ResponseFailed(Exception):
    """The provider put an error where the answer should be.

    Attributes:
        kind: The provider's word for it (`overloaded_error`, `rate_limit_exceeded`, …).
        facts: The whole error, as the provider gave it.
    """

    def __init__(self, kind: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        """Keep the provider's word, its message and the whole error."""
        super().__init__(message)
        self.kind, self.facts = kind, facts or {}


class GrowingText:
    """Text that deltas are added to: to add one takes as long as the delta, however long the text is already."""

    def __init__(self, *parts: str) -> None:
        """Begin with these parts."""
        self._parts = list(parts)

    def add(self, text: str) -> None:
        """Add a delta."""
        self._parts.append(text)

    def __str__(self) -> str:
        """All that was added."""
        return "".join(self._parts)


def settled(message: JsonObject) -> JsonObject:
    """A message whose growing texts are plain ones."""
    return {key: str(value) if isinstance(value, GrowingText) else value for key, value in message.items()}


class StreamAccumulator(Protocol):
    """A streamed answer while it is put together."""

    def add(self, event: str) -> str:
        """Take one event's data in and return the text it adds to the answer, if any.

        Raises:
            ResponseFailed: The event is an error.
            ValueError: The event is not of this protocol (pydantic's ValidationError is one).
        """
        ...

    def document(self) -> JsonObject | None:
        """The answer as this protocol gives it without streaming, or None before the terminal event."""
        ...


class WireProtocol(Protocol):
    """Writes requests and reads answers of one protocol."""

    path: ClassVar[str]
    """The endpoint, after the version."""

    def headers(self, key: str) -> dict[str, str]:
        """Headers that authenticate and version a request."""
        ...

    def request_prefix(self, model: str, instructions: str, tools: Sequence[ToolSpec], thread: str) -> RequestPrefix:
        """The fixed part of a conversation; `thread` names it to the provider's prompt cache."""
        ...

    def encode(self, message: Message, origin: str) -> Iterable[JsonObject]:
        """Encode a message as items of the list; `origin` is the `provider:model` it goes to."""
        ...

    def accumulator(self) -> StreamAccumulator:
        """A fresh assembly for one answer."""
        ...

    def read(self, document: JsonObject, origin: str) -> ParsedResponse:
        """Read a whole answer.

        Raises:
            ResponseFailed: It is an error.
            ValueError: It is not of this protocol.
        """
        ...


class Encoder:
    """The requests of one conversation: each message is encoded once, each request begins with the one before.

    The growing part comes last in the body, so turn 300 costs as much as turn 3, and the provider's prompt cache finds
    the same bytes again. An answer that was refused is left out: with it, the next one would be refused, too.
    """

    def __init__(
        self, protocol: WireProtocol, name: ModelName, instructions: str, tools: Sequence[ToolSpec], thread: str
    ) -> None:
        """Write the fixed part."""
        self._protocol = protocol
        self._origin = str(name)
        self._translation = Translation(self._origin)
        opening = protocol.request_prefix(name.model, instructions, tools, thread)
        self._bytes = bytearray(encode_json(opening.head)[:-1] + b"," + encode_json(opening.list_key) + b":[")
        self._separator = b""
        self._write(opening.first)

    def append(self, message: Message) -> None:
        """Add one message at the end."""
        if message["role"] == "assistant" and (stop := message.get("stop")) and stop["kind"] == "refused":
            return
        self._write(self._protocol.encode(self._translation.of(message), self._origin))

    def body(self) -> bytes:
        """The request as it stands."""
        self._bytes += _CLOSING
        body = bytes(self._bytes)  # copied once: it may have hundreds of kilobytes
        del self._bytes[-len(_CLOSING) :]
        return body

    def _write(self, items: Iterable[JsonObject]) -> None:
        for item in items:
            self._bytes += self._separator + encode_json(item)
            self._separator = b","
