"""Anthropic's Messages API, from the provider's side.

`server` uses it. Source: Anthropic API reference, "Messages" and "Streaming"; held to the `anthropic` SDK in
tests/contracts/rehearsal.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from phasegate.agents.models.conversation import JsonObject, parse_arguments
from phasegate.agents.rehearsal.answers import (
    ScriptedCall,
    ScriptedReply,
    ScriptedRequest,
    Utterance,
    event,
    flat_text,
    pieces,
)


class _Block(BaseModel):
    type: str = ""
    id: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[JsonObject]

    def call_ids(self) -> tuple[str, ...]:
        """The tool calls among the blocks."""
        blocks = [] if isinstance(self.content, str) else [_Block.model_validate(block) for block in self.content]
        return tuple(block.id for block in blocks if block.type == "tool_use")


class _Request(BaseModel):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[JsonObject] = ""
    stream: bool | None = False


class MessagesDialect:
    """`POST /v1/messages`."""

    path: ClassVar[str] = "messages"

    def read(self, request: JsonObject, tokens: int) -> ScriptedRequest:
        """As `answers.Dialect`."""
        parsed = _Request.model_validate(request)
        utterances = [Utterance(by_model=False, text=flat_text(parsed.system))]
        utterances += [
            Utterance(message.role == "assistant", flat_text(message.content), message.call_ids())
            for message in parsed.messages
        ]
        return ScriptedRequest(parsed.model, bool(parsed.stream), utterances, tokens)

    def stream(self, request: JsonObject, answer: ScriptedReply) -> list[bytes]:
        """As `answers.Dialect`."""

        def encoded(kind: str, **data: object) -> bytes:
            return event({"type": kind, **data}, kind)

        document = self.document(answer)
        usage = document["usage"]
        opening: JsonObject = {**document, "content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
        events = [encoded("message_start", message=opening)]
        parts: list[tuple[JsonObject, str, str, str]] = []
        if answer.text:
            parts.append(({"type": "text", "text": ""}, "text_delta", "text", answer.text))
        parts += [(_tool_use(call, {}), "input_json_delta", "partial_json", call.arguments) for call in answer.calls]
        for index, (block, kind, key, content) in enumerate(parts):
            events.append(encoded("content_block_start", index=index, content_block=block))
            events += [
                encoded("content_block_delta", index=index, delta={"type": kind, key: piece})
                for piece in pieces(content)
            ]
            events.append(encoded("content_block_stop", index=index))
        ending = {"stop_reason": document["stop_reason"], "stop_sequence": None}
        events.append(encoded("message_delta", delta=ending, usage={"output_tokens": answer.output_tokens}))
        return [*events, encoded("message_stop")]

    def document(self, answer: ScriptedReply) -> JsonObject:
        """As `answers.Dialect`; without streaming this protocol has arguments as JSON, malformed ones as a text."""
        content: list[JsonObject] = [{"type": "text", "text": answer.text}] if answer.text else []
        for call in answer.calls:
            arguments = parse_arguments(call.arguments)
            content.append(_tool_use(call, call.arguments if arguments is None else arguments))
        return {
            "id": f"msg_{answer.id}",
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": content,
            "stop_reason": "tool_use" if answer.calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": answer.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": answer.output_tokens,
            },
        }


def _tool_use(call: ScriptedCall, arguments: object) -> JsonObject:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
