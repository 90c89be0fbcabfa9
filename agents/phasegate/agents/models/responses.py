"""OpenAI's Responses API, stateless: nothing is stored there, reasoning comes back encrypted and is sent back.

`client` uses it for `openai:` models. Source: OpenAI API reference, "Create a model response" and its streaming
events; held to the `openai` SDK in tests/contracts/models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from phasegate.agents.models.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    StopReason,
    TokenUsage,
    ToolCall,
    ToolSpec,
    encode_json,
    native_items,
    read_call,
)
from phasegate.agents.models.wire import ParsedResponse, RequestPrefix, ResponseFailed
from phasegate.infra.artifacts import sha256

_LONGEST_CACHE_KEY = 64
"""The API refuses a longer `prompt_cache_key`."""


class _Problem(BaseModel):
    code: str | None = None
    type: str | None = None
    message: str = "no message"


class _InputDetails(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _Usage(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0
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
        parsed = _Event.model_validate_json(event)
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
                raise ResponseFailed(problem.code or problem.type or "error", problem.message)
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
            raise ResponseFailed(problem.code or problem.type or "error", problem.message)
        items = [_Item.model_validate(item) for item in response.output]
        contents = [content for item in items if item.type == "message" for content in item.content or []]
        calls = [read_call(item.call_id, item.name, item.arguments) for item in items if item.type == "function_call"]
        message: AssistantMessage = {
            "role": "assistant",
            "text": "".join(content.text or content.refusal for content in contents),
            "calls": calls,
            "native": [{"origin": origin, "item": item} for item in response.output],
        }
        refused = any(content.type == "refusal" for content in contents)
        return ParsedResponse(
            message, _usage(response.usage), response.model, _stop_reason(response, calls, refused=refused)
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


def _stop_reason(response: _Response, calls: list[ToolCall], *, refused: bool) -> StopReason:
    if response.status == "incomplete":
        filtered = response.incomplete_details is not None and response.incomplete_details.reason == "content_filter"
        return "refusal" if filtered else "length"
    if refused:
        return "refusal"
    return "calls" if calls else "end"
