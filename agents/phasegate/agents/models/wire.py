"""Port of a wire protocol, and the encoder that all protocols share.

`responses`, `chat_completions` and `messages` each implement `WireProtocol`; `client` drives it. Nothing here knows
HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from phasegate.agents.models.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    StopReason,
    TokenUsage,
    ToolSpec,
    encode_json,
)
from phasegate.agents.models.names import ModelName

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


class ResponseFailed(Exception):
    """The provider put an error where the answer should be.

    Attributes:
        kind: The provider's word for it (`overloaded_error`, `rate_limit_exceeded`, …).
    """

    def __init__(self, kind: str, message: str) -> None:
        """Keep the provider's word and its message."""
        super().__init__(message)
        self.kind = kind


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
    the same bytes again.
    """

    def __init__(
        self, protocol: WireProtocol, name: ModelName, instructions: str, tools: Sequence[ToolSpec], thread: str
    ) -> None:
        """Write the fixed part."""
        self._protocol = protocol
        self._origin = str(name)
        opening = protocol.request_prefix(name.model, instructions, tools, thread)
        self._bytes = bytearray(encode_json(opening.head)[:-1] + b"," + encode_json(opening.list_key) + b":[")
        self._separator = b""
        self._write(opening.first)

    def append(self, message: Message) -> None:
        """Add one message at the end."""
        self._write(self._protocol.encode(message, self._origin))

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
