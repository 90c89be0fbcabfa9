"""Stop reasons and refusals as each protocol spells them, read from streams and from whole documents.

The loop's side is in tests/integration/loop/test_answers_not_carried_out.py. Mutations tried: an unknown word taken for
a whole answer; a refusal in a part of the content overlooked; an incomplete item overlooked.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from phasegate.agents.models.conversation import Reply
from phasegate.infra.errors import ModelUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI, ANTHROPIC, COMPATIBLE = "openai:m", "anthropic:m", "compatible:m"
CALL = {"type": "function_call", "call_id": "c1", "name": "read_file", "arguments": "{}"}
TOOL_USE = {"type": "tool_use", "id": "c1", "name": "read_file", "input": {}}
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}


async def read(client_of: Any, provider: Any, name: str, document: Any) -> Reply:
    """The answer that a server gives as one document."""
    provider.says()
    provider.answers[-1] = replace(
        provider.answers[-1], parts=[json.dumps(document).encode()], content_type="application/json"
    )
    client = client_of(name)
    reply = await client.send(client.conversation("Be brief.", [], "thread").body())
    assert isinstance(reply, Reply)
    return reply


def chat(reason: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}]}


def message(reason: Any, *content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), "stop_reason": reason, **more}


def response(*output: Any, status: str = "completed", reason: str | None = None) -> dict[str, Any]:
    details = {"reason": reason} if reason else None
    return {"status": status, "output": list(output), "incomplete_details": details}


def said(*content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content)}


WHOLE = [
    (COMPATIBLE, chat("stop", content="Hi"), "end"),
    (COMPATIBLE, chat("stop", tool_calls=[TOOL_CALL]), "calls"),
    (COMPATIBLE, chat("Tool_Calls ", tool_calls=[TOOL_CALL]), "calls"),
    (COMPATIBLE, chat("stop", content=[{"type": "text", "text": "Hi"}]), "end"),
    (COMPATIBLE, chat("stop", content="Hi", refusal=""), "end"),
    (ANTHROPIC, message("stop_sequence", {"type": "text", "text": "Hi"}), "end"),
    (ANTHROPIC, message("tool_use", TOOL_USE), "calls"),
    (OPENAI, response(said({"type": "output_text", "text": "Hi"})), "end"),
    (OPENAI, response(CALL | {"status": "completed"}), "calls"),
]


@pytest.mark.parametrize(("name", "document", "reason"), WHOLE)
async def test_a_whole_answer(client_of: Any, provider: Any, name: str, document: Any, reason: str) -> None:
    reply = await read(client_of, provider, name, document)
    assert reply.stop_reason == reason
    assert "stop" not in reply.message
    assert reply.message["native"]


CUT = [
    (COMPATIBLE, chat("length", tool_calls=[TOOL_CALL]), "length"),
    (COMPATIBLE, chat(None, tool_calls=[TOOL_CALL]), "no stop reason"),
    (COMPATIBLE, chat("", tool_calls=[TOOL_CALL]), "no stop reason"),
    (COMPATIBLE, chat("x" * 500, content="Hi"), "x" * 59 + "…"),
    (ANTHROPIC, message("max_tokens", TOOL_USE), "max_tokens"),
    (ANTHROPIC, message("pause_turn", TOOL_USE), "pause_turn"),
    (ANTHROPIC, message(None, TOOL_USE), "no stop reason"),
    (ANTHROPIC, message("model_context_window_exceeded"), "model_context_window_exceeded"),
    (OPENAI, response(CALL, status="incomplete", reason="max_output_tokens"), "max_output_tokens"),
    (OPENAI, response(CALL, status="incomplete"), "incomplete"),
    (OPENAI, response(CALL | {"status": "incomplete"}), "item incomplete"),
]


@pytest.mark.parametrize(("name", "document", "word"), CUT)
async def test_a_cut_answer(client_of: Any, provider: Any, name: str, document: Any, word: str) -> None:
    """Its own items do not go back: reasoning that was cut has no signature, and half an item is none."""
    reply = await read(client_of, provider, name, document)
    assert reply.stop_reason == "cut"
    assert reply.message.get("stop") == {"kind": "cut", "word": word, "reason": ""}
    assert reply.message["native"] == []


REASONING = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "…"}
THINKING = {"type": "thinking", "thinking": "Hm", "signature": "s"}
REFUSED = [
    (COMPATIBLE, chat("content_filter"), "content_filter", ""),
    (COMPATIBLE, chat("content_filter", reasoning_content="Hm"), "content_filter", ""),
    (COMPATIBLE, chat("stop", refusal="I must not."), "refusal", "I must not."),
    (COMPATIBLE, chat("tool_calls", refusal="No.", tool_calls=[TOOL_CALL]), "refusal", "No."),
    (COMPATIBLE, chat("length", refusal="No"), "refusal", "No"),
    (COMPATIBLE, chat("stop", content=[{"type": "refusal", "refusal": "No."}]), "refusal", "No."),
    (ANTHROPIC, message("refusal"), "refusal", ""),
    (ANTHROPIC, message("refusal", THINKING), "refusal", ""),
    (ANTHROPIC, message("refusal", {"type": "text", "text": "I must not."}), "refusal", "I must not."),
    (ANTHROPIC, message("refusal", stop_details={"type": "refusal", "explanation": "harm"}), "refusal", "harm"),
    (OPENAI, response(said({"type": "refusal", "refusal": "No."})), "refusal", "No."),
    (OPENAI, response(said({"type": "refusal", "refusal": "No."}), CALL), "refusal", "No."),
    (OPENAI, response(REASONING, status="incomplete", reason="content_filter"), "content_filter", ""),
    (OPENAI, response(status="incomplete", reason="content_filter"), "content_filter", ""),
]


@pytest.mark.parametrize(("name", "document", "word", "reason"), REFUSED)
async def test_a_refused_answer(
    client_of: Any, provider: Any, name: str, document: Any, word: str, reason: str
) -> None:
    reply = await read(client_of, provider, name, document)
    assert reply.stop_reason == "refusal"
    assert reply.message.get("stop") == {"kind": "refused", "word": word, "reason": reason}


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC, COMPATIBLE])
async def test_a_refused_answer_is_left_out_of_the_next_request(client_of: Any, name: str) -> None:
    client = client_of(name)
    encoder = client.conversation("Be brief.", [], "thread")
    encoder.append({"role": "user", "text": "Hello?"})
    before = encoder.body()
    stop = {"kind": "refused", "word": "refusal", "reason": "No."}
    encoder.append({"role": "assistant", "text": "No.", "calls": [], "native": [], "stop": stop})
    assert encoder.body() == before


async def test_an_answer_that_a_gateway_broke_off_is_asked_for_again(client_of: Any, provider: Any) -> None:
    for _ in range(4):
        provider.says({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "error"}]})
    with pytest.raises(ModelUnavailable, match="broke its answer off"):
        await read(client_of, provider, COMPATIBLE, chat("error", content="Hi"))
    assert len(provider.asked) == 5
