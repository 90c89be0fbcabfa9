"""OpenAI's Responses API, from the provider's side.

`server` uses it. Source: OpenAI API reference, "Responses" and its streaming events; held to the `openai` SDK in
tests/contracts/rehearsal.
"""

from __future__ import annotations

import itertools
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


class _Item(BaseModel):
    type: str = "message"
    role: str = ""
    content: object = None
    call_id: str = ""
    output: object = None


class _Request(BaseModel):
    model: str
    instructions: str | None = None
    input: str | list[_Item]
    stream: bool | None = False


class ResponsesDialect:
    """`POST /v1/responses`."""

    path: ClassVar[str] = "responses"

    def read(self, request: JsonObject, tokens: int) -> ScriptedRequest:
        """As `answers.Dialect`."""
        parsed = _Request.model_validate(request)
        utterances = [Utterance(by_model=False, text=parsed.instructions or "")]
        if isinstance(parsed.input, str):
            utterances.append(Utterance(by_model=False, text=parsed.input))
        else:
            utterances.extend(_utterance(item) for item in parsed.input)
        return ScriptedRequest(parsed.model, bool(parsed.stream), utterances, tokens)

    def stream(self, request: JsonObject, answer: ScriptedReply) -> list[bytes]:
        """As `answers.Dialect`."""
        numbers = itertools.count()

        def encoded(kind: str, **data: object) -> bytes:
            return event({"type": kind, "sequence_number": next(numbers), **data}, kind)

        document = self.document(answer)
        opening: JsonObject = {**document, "status": "in_progress", "output": [], "usage": None}
        events = [encoded("response.created", response=opening), encoded("response.in_progress", response=opening)]
        for index, item in enumerate(document["output"]):
            place: JsonObject = {"item_id": item["id"], "output_index": index}
            if item["type"] == "message":
                text, part = place | {"content_index": 0}, item["content"][0]
                started = item | {"status": "in_progress", "content": []}
                events += [
                    encoded("response.output_item.added", output_index=index, item=started),
                    encoded("response.content_part.added", **text, part=part | {"text": ""}),
                    *(
                        encoded("response.output_text.delta", **text, delta=piece, logprobs=[])
                        for piece in pieces(part["text"])
                    ),
                    encoded("response.output_text.done", **text, text=part["text"], logprobs=[]),
                    encoded("response.content_part.done", **text, part=part),
                ]
            else:
                raw, started = item["arguments"], item | {"status": "in_progress", "arguments": ""}
                events += [
                    encoded("response.output_item.added", output_index=index, item=started),
                    *(encoded("response.function_call_arguments.delta", **place, delta=piece) for piece in pieces(raw)),
                    encoded("response.function_call_arguments.done", **place, name=item["name"], arguments=raw),
                ]
            events.append(encoded("response.output_item.done", output_index=index, item=item))
        return [*events, encoded("response.completed", response=document)]

    def document(self, answer: ScriptedReply) -> JsonObject:
        """As `answers.Dialect`."""
        output = [_message(answer)] if answer.text else []
        output += [_call(call) for call in answer.calls]
        return {
            "id": f"resp_{answer.id}",
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": answer.model,
            "output": output,
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": answer.input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": answer.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.input_tokens + answer.output_tokens,
            },
        }


def _utterance(item: _Item) -> Utterance:
    match item.type:
        case "function_call":
            return Utterance(by_model=True, call_ids=(item.call_id,))
        case "reasoning":
            return Utterance(by_model=True)
        case "function_call_output":
            return Utterance(by_model=False, text=flat_text(item.output))
        case _:
            return Utterance(by_model=item.role == "assistant", text=flat_text(item.content))


def _message(answer: ScriptedReply) -> JsonObject:
    content: JsonObject = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }


def _call(call: ScriptedCall) -> JsonObject:
    return {
        "id": f"fc_{call.id}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }
