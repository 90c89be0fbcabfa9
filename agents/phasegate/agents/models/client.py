"""Client for every model: sends a request, streams the answer, and retries after temporary errors.

The agent loop opens one per stage attempt and is its only caller. It must not know what a conversation is about, and
lets no httpx error and no key out.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import httpx

from phasegate.agents.models.chat_completions import ChatCompletionsProtocol
from phasegate.agents.models.conversation import ANSWER, JsonObject, Reply, ToolSpec, encode_json
from phasegate.agents.models.failures import error_of_answer, error_of_status, given_up
from phasegate.agents.models.keys import BASE_URL_VARIABLES
from phasegate.agents.models.messages import MessagesProtocol
from phasegate.agents.models.names import ModelName, Provider
from phasegate.agents.models.responses import ResponsesProtocol
from phasegate.agents.models.sse import SseDecoder
from phasegate.agents.models.wire import Encoder, ResponseFailed, WireProtocol
from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.http_body import BoundedBody, joined_body
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable, ModelKeyMissing, ModelUnavailable

_PROTOCOLS: dict[Provider, Callable[[], WireProtocol]] = {
    "openai": ResponsesProtocol,
    "anthropic": MessagesProtocol,
    "compatible": ChatCompletionsProtocol,
}
_PUBLIC_URLS: dict[Provider, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
}
_TIMEOUT = httpx.Timeout(600, connect=10)
"""A model may think for minutes before the next byte. Source: the official SDKs' default."""
_EXTENSIONS = {"timeout": _TIMEOUT.as_dict()}
_REFUSAL = DocumentBounds(size=MIB)
_AT_ONCE = 256 * 1024
"""Bytes of an answer that are read in the engine's loop; a larger one is read beside it."""
_LARGEST_ANSWER = 4 * 1024**2
"""Characters of an answer's text and arguments: several times what any model writes at once."""
Redact: TypeAlias = Callable[[JsonObject], JsonObject]


@dataclass(frozen=True, slots=True)
class Retries:
    """Retry policy of a request.

    Attributes:
        tries: The most times that a request is sent.
        first_delay_seconds: The first wait; each further one is twice as long, less up to half of it at random.
        longest_delay_seconds: The longest wait; a provider that asks for more is not waited for.
        sleep: Waits so many seconds.
        chance: A random number from 0 to 1.
    """

    tries: int = 5
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    def delay_seconds(self, failed_tries: int) -> float:
        """The wait after so many failed tries."""
        delay = self.first_delay_seconds * 2.0 ** (failed_tries - 1)
        return min(delay, self.longest_delay_seconds) * (1 - self.chance() / 2)


class ModelClient(Protocol):
    """A model that answers conversations."""

    def conversation(self, instructions: str, tools: Sequence[ToolSpec], thread: str) -> Encoder:
        """Begin the requests of one conversation; `thread` names it to the provider's prompt cache."""
        ...

    async def send(self, body: bytes, *, on_text: Callable[[str], None] | None = None) -> Reply:
        """Send one request and return its whole answer. Cancelling it closes the stream at once.

        Args:
            body: What `Encoder.body` gave.
            on_text: Told each piece of the answer's text as it comes. A try that fails has told its pieces too.

        Raises:
            ModelUnavailable: The provider was out of reach, overloaded, or cut the stream, on every try.
            ModelLimited: The limit of the account is reached.
            ModelDeclined: A filter of the provider refused the request.
            ModelRefused: The provider will not answer this request.
            ModelKeyMissing: The provider does not accept the key.
            RehearsalDeparted: The request does not match the rehearsal's script.
        """
        ...


def open_client(
    name: ModelName,
    *,
    base_url: str | None,
    key: str,
    http: httpx.AsyncClient,
    retries: Retries | None = None,
    redact: Redact | None = None,
) -> ModelClient:
    """A client for the model `name`.

    Args:
        name: The provider and the model.
        base_url: The server's address, with or without the version (`/v1`); None for the provider's public one.
        key: The provider's key; may be empty for a compatible server.
        http: Carries the requests; stays the caller's to close.
        retries: The retry policy; None for the default.
        redact: Takes secrets out of an answer before anything is read from it; None for no redaction.

    Raises:
        ModelKeyMissing: A compatible server was named without its address.
    """
    url = base_url or _PUBLIC_URLS.get(name.provider)
    if url is None:
        variable = BASE_URL_VARIABLES[name.provider]
        raise ModelKeyMissing(f"{name} needs the address of its server.", remedy=f"Set {variable}.", variable=variable)
    protocol = _PROTOCOLS[name.provider]()
    address = httpx.URL(_endpoint(url, protocol.path))
    headers = httpx.Headers({**http.headers, "content-type": "application/json", **protocol.headers(key)})
    headers["host"] = address.netloc.decode()
    return _HttpModelClient(name, protocol, address, headers, key, http, retries or Retries(), redact)


def _endpoint(base_url: str, path: str) -> str:
    """The address of `path`: SDKs disagree on whether a base URL holds the version, so both are understood."""
    base = base_url.rstrip("/")
    segments = httpx.URL(base).path.split("/")[-2:]  # some gateways have a word after the version: v1beta/openai
    versioned = any(re.fullmatch(r"v\d+[a-z0-9]*", segment) for segment in segments)
    return f"{base}/{path}" if versioned else f"{base}/v1/{path}"


@dataclass(frozen=True, slots=True)
class _HttpModelClient:
    name: ModelName
    protocol: WireProtocol
    url: httpx.URL
    headers: httpx.Headers = field(repr=False)
    key: str = field(repr=False)
    http: httpx.AsyncClient
    retries: Retries
    redact: Redact | None

    def conversation(self, instructions: str, tools: Sequence[ToolSpec], thread: str) -> Encoder:
        """As `ModelClient`."""
        return Encoder(self.protocol, self.name, instructions, tools, thread)

    async def send(self, body: bytes, *, on_text: Callable[[str], None] | None = None) -> Reply:
        """As `ModelClient`."""
        for tries in itertools.count(1):
            try:
                return await self._send_once(body, on_text)
            except ModelUnavailable as error:
                retry_after = error.context.get("retry_after_seconds")
                delay = retry_after if isinstance(retry_after, float) else self.retries.delay_seconds(tries)
                if tries >= self.retries.tries or delay > self.retries.longest_delay_seconds:
                    raise given_up(error, tries, delay, self.retries.longest_delay_seconds) from error
            await self.retries.sleep(delay)
        raise AssertionError("itertools.count does not end")

    async def _send_once(self, body: bytes, on_text: Callable[[str], None] | None) -> Reply:
        started = time.monotonic()
        # Built here: the client would merge and parse address and headers again for each request.
        headers = [*self.headers.raw, (b"content-length", b"%d" % len(body))]
        stream = httpx.ByteStream(body)
        request = httpx.Request("POST", self.url, headers=headers, stream=stream, extensions=_EXTENSIONS)
        try:
            response = await self.http.send(request, stream=True, follow_redirects=False)
            try:
                if not response.is_success:
                    raise error_of_status(self.name, self.key, response, await _beginning(response))
                document, received = await self._receive(response, on_text)
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise ModelUnavailable(f"{self.name} was out of reach or cut off: {reason}") from error
        latency = time.monotonic() - started
        if len(received) <= _AT_ONCE:
            return self._read(body, document, received, latency)
        return await asyncio.to_thread(self._read, body, document, received, latency)

    def _read(self, body: bytes, document: JsonObject, received: bytes, latency_seconds: float) -> Reply:
        """Read a whole answer, without its secrets."""
        if self.redact is not None and (redacted := self.redact(document)) != document:
            document, received = redacted, encode_json(redacted)
        with _reading(self.name):
            answer = self.protocol.read(document, str(self.name))
            size = len(answer.message["text"]) + sum(len(call["raw"]) for call in answer.message["calls"])
            if size > _LARGEST_ANSWER:
                raise ValueError(f"it has {size} characters, and at most {_LARGEST_ANSWER} are read")
        return Reply(
            message=answer.message,
            usage=answer.usage,
            model=answer.model or self.name.model,
            stop_reason=answer.stop_reason,
            request=body,
            response=received.decode("utf-8", "replace"),
            latency_seconds=latency_seconds,
        )

    async def _receive(
        self, response: httpx.Response, on_text: Callable[[str], None] | None
    ) -> tuple[JsonObject, bytes]:
        """Receive the whole answer.

        Returns:
            The answer and its bytes; nothing is returned before the terminal event.
        """
        if "json" in response.headers.get("content-type", ""):  # a server that does not stream
            with _reading(self.name):
                received = await joined_body(response.aiter_bytes(), "the answer", ANSWER)
                return read_json_table(received, "the answer", ANSWER), received
        decoder, assembly, body = SseDecoder(), self.protocol.accumulator(), BoundedBody("the answer", ANSWER)
        async for chunk in response.aiter_bytes():
            with _reading(self.name):
                body.add(chunk)
                texts = [assembly.add(event) for event in decoder.feed(chunk)]
            if on_text is not None and (text := "".join(texts)):
                on_text(text)
        document = assembly.document()
        if document is None:
            raise ModelUnavailable(f"{self.name} ended its stream before the answer was whole")
        return document, body.content()


async def _beginning(response: httpx.Response) -> bytes:
    """Body of a refusal; nothing of one that is longer than a refusal is."""
    try:
        return await joined_body(response.aiter_bytes(), "the answer", _REFUSAL)
    except DocumentUnreadable:
        return b""


@contextmanager
def _reading(name: ModelName) -> Generator[None]:
    """Translate errors that a protocol raises while it reads an answer."""
    try:
        yield
    except ResponseFailed as error:
        raise error_of_answer(name, error) from error
    except ValueError as error:
        raise ModelUnavailable(f"{name} sent an answer that cannot be read: {error}") from error
