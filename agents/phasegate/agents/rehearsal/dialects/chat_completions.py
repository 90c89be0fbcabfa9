"""OpenAI's Chat Completions, from the provider's side.

`server` uses it. Source: OpenAI API reference, "Chat Completions"; held to the `openai` SDK in
tests/contracts/rehearsal.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from phasegate.agents.models.conversation import JsonObject
from phasegate.agents.rehearsal.answers import (
    ScriptedCall,
    ScriptedReply,
    ScriptedRequest,
    Utterance,
    event,
    flat_text,
    pieces,
)


class _ToolCall(BaseModel):
    id: str


class _Message(BaseModel):
    role: str
    content: object = None
    tool_calls: list[_ToolCall] | None = None


class _StreamOptions(BaseModel):
    include_usage: bool | None = False


class _Request(BaseModel):
    model: str
    messages: list[_Message]
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


class ChatCompletionsDialect:
    """`POST /v1/chat/completions`."""

    path: ClassVar[str] = "chat/completions"

    def read(self, request: JsonObject, tokens: int) -> ScriptedRequest:
        """As `answers.Dialect`."""
        parsed = _Request.model_validate(request)
        utterances = [
            Utterance(
                by_model=message.role == "assistant",
                text=flat_text(message.content),
                call_ids=tuple(call.id for call in message.tool_calls or []),
            )
            for message in parsed.messages
        ]
        return ScriptedRequest(parsed.model, bool(parsed.stream), utterances, tokens)

    def stream(self, request: JsonObject, answer: ScriptedReply) -> list[bytes]:
        """As `answers.Dialect`."""
        options = _Request.model_validate(request).stream_options
        with_usage = options is not None and bool(options.include_usage)
        head = _head(answer, "chat.completion.chunk") | ({"usage": None} if with_usage else {})

        def encoded(delta: JsonObject, finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return event(head | {"choices": [choice]})

        events = [encoded({"role": "assistant", "content": ""})]
        events += [encoded({"content": piece}) for piece in pieces(answer.text)]
        for index, call in enumerate(answer.calls):
            opening = _call(call) | {"index": index}
            opening["function"] = {"name": call.name, "arguments": ""}
            events.append(encoded({"tool_calls": [opening]}))
            for piece in pieces(call.arguments):
                events.append(encoded({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        events.append(encoded({}, _finish_reason(answer)))
        if with_usage:
            events.append(event(head | {"choices": [], "usage": _usage(answer)}))
        return [*events, b"data: [DONE]\n\n"]

    def document(self, answer: ScriptedReply) -> JsonObject:
        """As `answers.Dialect`."""
        message: JsonObject = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.calls:
            message["tool_calls"] = [_call(call) for call in answer.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
        return _head(answer, "chat.completion") | {"choices": [choice], "usage": _usage(answer)}


def _head(answer: ScriptedReply, kind: str) -> JsonObject:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": 0, "model": answer.model}


def _call(call: ScriptedCall) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish_reason(answer: ScriptedReply) -> str:
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: ScriptedReply) -> JsonObject:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
