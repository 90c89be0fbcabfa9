"""OpenAI's Responses API, stateless: nothing is stored there, reasoning comes back encrypted and is sent back.

`client` uses it for `openai:` models. Source: OpenAI API reference, "Create a model response" and its streaming
events; held to the `openai` SDK in tests/contracts/models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from phasegate.agents.models.conversation import (
    ANSWER,
    AssistantMessage,
    JsonObject,
    Message,
    TokenCount,
    TokenUsage,
    ToolSpec,
    encode_json,
    native_items,
    read_call,
)
from phasegate.agents.models.stops import Stop, StopWords, cut, refusal
from phasegate.agents.models.wire import ParsedResponse, RequestPrefix, ResponseFailed, parsed_response
from phasegate.infra.artifacts import sha256
from phasegate.infra.documents.json_text import read_json

_LONGEST_CACHE_KEY = 64
"""The API refuses a longer `prompt_cache_key`."""
_INCOMPLETE = "incomplete"
_STOP_WORDS = StopWords(whole=frozenset(), refused=frozenset({"content_filter"}))
"""Reasons of `incomplete_details`."""


class _Problem(BaseModel, extra="allow"):
    code: str | None = None
    type: str | None = None
    message: str = "no message"

    def failure(self) -> ResponseFailed:
        """The failure that this error is."""
        return ResponseFailed(self.code or self.type or "error", self.message, self.model_dump())


class _InputDetails(BaseModel):
    cached_tokens: TokenCount = 0
    cache_write_tokens: TokenCount = 0


class _Usage(BaseModel):
    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    input_tokens_details: _InputDetails | None = None


class _IncompleteDetails(BaseModel):
    reason: str | None = None


class _Response(BaseModel):
    status: str
    model: str = ""
    output: list[JsonObject] = []
    usage: _Usage | None = None
    error: _Problem | None = None
    incomplete_details: _IncompleteDetails | None = None


class _Event(BaseModel):
    type: str
    delta: Any = None
    item: JsonObject = {}
    response: JsonObject = {}
    error: _Problem | None = None
    code: str | None = None
    message: str = "no message"


class _Content(BaseModel):
    type: str
    text: str = ""
    refusal: str = ""


class _Item(BaseModel):
    type: str
    status: str | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    content: list[_Content] | None = None


class _StreamAccumulator:
    """Collects finished output items; the terminal event brings the rest."""

    def __init__(self) -> None:
        self._items: list[JsonObject] = []
        self._document: JsonObject | None = None

    def add(self, event: str) -> str:
        """As `wire.StreamAccumulator`."""
        parsed = _Event.model_validate(read_json(event, "an event", ANSWER))
        match parsed.type:
            case "response.output_text.delta" if isinstance(parsed.delta, str):
                return parsed.delta
            case "response.output_item.done":
                self._items.append(parsed.item)
            case "response.completed" | "response.incomplete" | "response.failed":
                # Some gateways leave the list out here, having streamed every item already.
                self._document = parsed.response | {"output": parsed.response.get("output") or self._items}
            case "error":
                problem = parsed.error or _Problem(code=parsed.code, message=parsed.message)
                raise problem.failure()
            case _:
                pass
        return ""

    def document(self) -> JsonObject | None:
        """As `wire.StreamAccumulator`."""
        return self._document


class ResponsesProtocol:
    """`POST /v1/responses`."""

    path: ClassVar[str] = "responses"

    def headers(self, key: str) -> dict[str, str]:
        """As `wire.WireProtocol`."""
        return {"authorization": f"Bearer {key}"}

    def request_prefix(self, model: str, instructions: str, tools: Sequence[ToolSpec], thread: str) -> RequestPrefix:
        """As `wire.WireProtocol`."""
        head = {
            "model": model,
            "stream": True,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": _cache_key(thread),
            "instructions": instructions,
            "tools": [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,  # strict schemas forbid optional arguments
                }
                for tool in tools
            ],
        }
        return RequestPrefix(head, "input")

    def encode(self, message: Message, origin: str) -> Iterable[JsonObject]:
        """As `wire.WireProtocol`."""
        match message["role"]:
            case "user":
                yield {"role": "user", "content": message["text"]}
            case "assistant":
                yield from native_items(message, origin) or _assistant_items(message)
            case "tools":
                for result in message["results"]:
                    yield {"type": "function_call_output", "call_id": result["id"], "output": result["output"]}

    def accumulator(self) -> _StreamAccumulator:
        """As `wire.WireProtocol`."""
        return _StreamAccumulator()

    def read(self, document: JsonObject, origin: str) -> ParsedResponse:
        """As `wire.WireProtocol`."""
        response = _Response.model_validate(document)
        if response.status not in {"completed", "incomplete"}:
            problem = response.error or _Problem(message=f"the response ended as {response.status}")
            raise problem.failure()
        items = [_Item.model_validate(item) for item in response.output]
        contents = [content for item in items if item.type == "message" for content in item.content or []]
        calls = [read_call(item.call_id, item.name, item.arguments) for item in items if item.type == "function_call"]
        text = "".join(content.text or content.refusal for content in contents)
        return parsed_response(
            text,
            calls,
            origin=origin,
            items=response.output,
            stop=_stop(response, items, contents, text),
            usage=_usage(response.usage),
            model=response.model,
        )


def _cache_key(thread: str) -> str:
    return thread if len(thread) <= _LONGEST_CACHE_KEY else sha256(thread).removeprefix("sha256:")


def _assistant_items(message: AssistantMessage) -> Iterable[JsonObject]:
    if message["text"]:
        yield {"role": "assistant", "content": message["text"]}
    for call in message["calls"]:
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": call["raw"] or encode_json({}).decode(),
        }


def _usage(usage: _Usage | None) -> TokenUsage:
    if usage is None:
        return TokenUsage()
    details = usage.input_tokens_details or _InputDetails()
    return TokenUsage(usage.input_tokens, details.cached_tokens, usage.output_tokens, details.cache_write_tokens)


def _stop(response: _Response, items: Sequence[_Item], contents: Sequence[_Content], text: str) -> Stop | None:
    """The reason why an answer is not carried out: a refusal comes before a cut."""
    if any(content.type == "refusal" for content in contents):
        return refusal("refusal", text)
    if response.status == _INCOMPLETE:
        details = response.incomplete_details or _IncompleteDetails()
        return _STOP_WORDS.read(details.reason or _INCOMPLETE, text)
    return cut(f"item {_INCOMPLETE}") if any(item.status == _INCOMPLETE for item in items) else None
