"""Answers made of the official SDKs' own types are read whole, and what is opaque in them goes back as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import types as claude
from openai.types import chat
from openai.types import responses as gpt

from phasegate.agents.models.conversation import TokenUsage

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
TEXT = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "read_file",
    "arguments": '{"path": "app.py"}',
    "status": "completed",
}


def response(**changes: Any) -> gpt.Response:
    return gpt.Response.model_validate(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": "gpt-5.3-codex-2026-02-05",
            "output": [REASONING, TEXT, CALL],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 120,
            },
            **changes,
        }
    )


async def test_responses(client_of: Any, provider: Any) -> None:
    client, texts = client_of("openai:gpt-5.3-codex"), list[str]()
    delta = gpt.ResponseTextDeltaEvent(
        type="response.output_text.delta",
        item_id="msg_1",
        output_index=1,
        content_index=0,
        delta="I look.",
        sequence_number=1,
        logprobs=[],
    )
    ending = gpt.ResponseCompletedEvent(type="response.completed", response=response(), sequence_number=2)
    provider.says(delta, ending)
    encoder = client.conversation("Be brief.", [], "thread")
    encoder.append({"role": "user", "text": "Look."})
    reply = await client.send(encoder.body(), on_text=texts.append)
    assert texts == ["I look."]
    assert reply.message["text"] == "I look."
    assert reply.message["calls"] == [
        {"id": "call_1", "name": "read_file", "args": {"path": "app.py"}, "raw": '{"path": "app.py"}'}
    ]
    assert reply.usage == TokenUsage(100, 60, 20)
    assert (reply.model, reply.stop_reason) == ("gpt-5.3-codex-2026-02-05", "calls")
    assert reply.request == encoder.body()
    assert reply.response.count("data: ") == 2
    encoder.append(reply.message)
    sent_back = json.loads(encoder.body())["input"][1:]
    assert [item["type"] for item in sent_back] == ["reasoning", "message", "function_call"]
    assert sent_back[0]["encrypted_content"] == "gAAA"


async def test_responses_cut_by_length(client_of: Any, provider: Any) -> None:
    cut = response(status="incomplete", output=[TEXT], incomplete_details={"reason": "max_output_tokens"})
    provider.says(gpt.ResponseIncompleteEvent(type="response.incomplete", response=cut, sequence_number=1))
    reply = await client_of("openai:gpt-5.3-codex").send(b"{}")
    assert (reply.message["text"], reply.stop_reason) == ("I look.", "cut")


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> chat.ChatCompletionChunk:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return chat.ChatCompletionChunk.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "local-model",
            "choices": choices,
            **more,
        }
    )


async def test_chat_completions(client_of: Any, provider: Any) -> None:
    client = client_of("compatible:local-model")
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    provider.says(
        chunk({"role": "assistant", "content": "", "reasoning_content": "Hm"}),
        chunk({"reasoning_content": "m."}),
        chunk({"content": "I "}),
        chunk({"content": "look."}),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "type": "function", "function": {"name": "read_file", "arguments": ""}}
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"path": '}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"app.py"}'}}]}),
        chunk(
            {
                "tool_calls": [
                    {"index": 1, "id": "b", "type": "function", "function": {"name": "list_files", "arguments": ""}}
                ]
            }
        ),
        chunk({}, "tool_calls"),
        chunk({}, None, choices=[], usage=usage),
        b"data: [DONE]\n\n",
        named=False,
    )
    encoder = client.conversation("Be brief.", [], "thread")
    reply = await client.send(encoder.body())
    assert reply.message["text"] == "I look."
    assert [(call["id"], call["name"], call["args"]) for call in reply.message["calls"]] == [
        ("a", "read_file", {"path": "app.py"}),
        ("b", "list_files", {}),
    ]
    assert (reply.usage, reply.stop_reason) == (TokenUsage(10, 4, 5), "calls")
    encoder.append(reply.message)
    sent_back = json.loads(encoder.body())["messages"][1]
    assert sent_back["reasoning_content"] == "Hmm."
    assert [call["function"]["arguments"] for call in sent_back["tool_calls"]] == ['{"path": "app.py"}', "{}"]


async def test_chat_completions_of_servers_that_number_no_calls(client_of: Any, provider: Any) -> None:
    provider.says(
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}
            ]
        },
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": {"x": 1}}}]}}
            ]
        },
        {"choices": [{"delta": {"tool_calls": [{"function": {"name": "h", "arguments": ""}, "id": "c"}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    )
    reply = await client_of("compatible:local-model").send(b"{}")
    assert [(call["id"], call["name"], call["args"]) for call in reply.message["calls"]] == [
        ("a", "f", {}),
        ("b", "g", {"x": 1}),
        ("c", "h", {}),
    ]
    assert reply.stop_reason == "calls"


async def test_messages(client_of: Any, provider: Any) -> None:
    client, texts = client_of("anthropic:claude-opus-4-6"), list[str]()
    begun = claude.Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-6",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 60,
                "output_tokens": 1,
            },
        }
    )
    blocks = [
        ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking", "Hmm."),
        ({"type": "text", "text": ""}, "text_delta", "text", "I look."),
        (
            {"type": "tool_use", "id": "t1", "name": "read_file", "input": {}},
            "input_json_delta",
            "partial_json",
            '{"path": "a"}',
        ),
        ({"type": "tool_use", "id": "t2", "name": "list_files", "input": {}}, "input_json_delta", "partial_json", ""),
        (
            {"type": "tool_use", "id": "t3", "name": "read_file", "input": {}},
            "input_json_delta",
            "partial_json",
            '{"pa',
        ),
    ]
    events: list[Any] = [claude.RawMessageStartEvent(type="message_start", message=begun)]
    for index, (block, kind, key, value) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_delta", "index": index, "delta": {"type": kind, key: value}})
        if kind == "thinking_delta":
            signature = {"type": "signature_delta", "signature": "EqQB"}
            events.append({"type": "content_block_delta", "index": index, "delta": signature})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "ping"})
    ending = {"stop_reason": "tool_use", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": 20}})
    events.append({"type": "message_stop"})
    provider.says(*events)
    encoder = client.conversation("Be brief.", [], "thread")
    reply = await client.send(encoder.body(), on_text=texts.append)
    assert "".join(texts) == reply.message["text"] == "I look."
    assert [(call["id"], call["args"]) for call in reply.message["calls"]] == [
        ("t1", {"path": "a"}),
        ("t2", {}),
        ("t3", None),
    ]
    assert (reply.usage, reply.stop_reason) == (TokenUsage(100, 60, 20, 30), "calls")
    encoder.append(reply.message)
    sent_back = json.loads(encoder.body())["messages"][0]["content"]
    assert sent_back[0] == {"type": "thinking", "thinking": "Hmm.", "signature": "EqQB"}
    assert [block["input"] for block in sent_back[2:]] == [{"path": "a"}, {}, {"malformed_arguments": '{"pa'}]


async def test_what_one_model_made_is_not_sent_to_another(client_of: Any, provider: Any) -> None:
    provider.says(gpt.ResponseCompletedEvent(type="response.completed", response=response(), sequence_number=1))
    reply = await client_of("openai:gpt-5.3-codex").send(b"{}")
    for other in ("openai:gpt-5.5", "anthropic:claude-opus-4-6", "compatible:local-model"):
        encoder = client_of(other).conversation("", [], "thread")
        encoder.append(reply.message)
        assert b"gAAA" not in encoder.body()
        assert b"read_file" in encoder.body()
