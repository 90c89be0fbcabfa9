"""A thread that the official SDKs and our client both carry on: replies streamed as the SDKs' own events, sent back by
both, and refused by the provider with the SDKs' own error bodies.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic import types as claude
from anthropic.types import shared as claude_errors
from openai.types import responses as gpt
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter

from phasegate.agents.models.conversation import TokenUsage
from phasegate.infra.errors import ModelKeyMissing, ModelLimited, ModelRefused, ModelUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTPUTS: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Look first."}],
        "encrypted_content": "gAAA",
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "I löök.", "annotations": []}],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "read_file",
        "arguments": '{"path":"app.py"}',
        "status": "completed",
    },
]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 0,
    "status": "completed",
    "model": "gpt-5.3-codex",
    "output": OUTPUTS,
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
}


def streamed_response() -> list[gpt.ResponseStreamEvent]:
    """Every kind of event a reply of reasoning, text and a call brings, checked by the SDK's own models."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.in_progress", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": OUTPUTS[0]},
        {
            "type": "response.reasoning_summary_text.delta",
            "item_id": "rs_1",
            "output_index": 0,
            "summary_index": 0,
            "delta": "Look first.",
        },
        {"type": "response.output_item.done", "output_index": 0, "item": OUTPUTS[0]},
        {"type": "response.output_item.added", "output_index": 1, "item": {**OUTPUTS[1], "content": []}},
        *(
            {
                "type": "response.output_text.delta",
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "delta": delta,
                "logprobs": [],
            }
            for delta in ("I ", "löök.")
        ),
        {"type": "response.output_item.done", "output_index": 1, "item": OUTPUTS[1]},
        {"type": "response.output_item.added", "output_index": 2, "item": {**OUTPUTS[2], "arguments": ""}},
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "fc_1",
            "output_index": 2,
            "delta": OUTPUTS[2]["arguments"],
        },
        {
            "type": "response.function_call_arguments.done",
            "item_id": "fc_1",
            "output_index": 2,
            "name": "read_file",
            "arguments": OUTPUTS[2]["arguments"],
        },
        {"type": "response.output_item.done", "output_index": 2, "item": OUTPUTS[2]},
        {"type": "response.completed", "response": RESPONSE},
    ]
    adapter: TypeAdapter[gpt.ResponseStreamEvent] = TypeAdapter(gpt.ResponseStreamEvent)
    return [adapter.validate_python({**event, "sequence_number": at}) for at, event in enumerate(events)]


async def test_responses_carry_reasoning_as_the_sdk_does(client_of: Any, provider: Any) -> None:
    """Mutation tried: leaving `reasoning` items out of `native_items` fails this."""
    client, texts = client_of("openai:gpt-5.3-codex"), list[str]()
    provider.says(*streamed_response())
    encoder = client.conversation("Be brief.", [], "run-1/prd/1")
    encoder.append({"role": "user", "text": "Look."})
    reply = await client.send(encoder.body(), on_text=texts.append)
    assert ("".join(texts), reply.usage) == ("I löök.", TokenUsage(100, 60, 20))
    encoder.append(reply.message)
    result = {"id": "call_1", "name": "read_file", "output": "x = 1", "failed": False}
    encoder.append({"role": "tools", "results": [result]})
    with contextlib.suppress(ModelRefused):
        await client.send(encoder.body())
    ours = provider.asked.pop()

    sdk = openai.AsyncOpenAI(api_key="key-of-the-test", base_url=f"{provider.url}/v1", max_retries=0)
    provider.says(*streamed_response())
    options: Any = {
        "model": "gpt-5.3-codex",
        "instructions": "Be brief.",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "run-1/prd/1",
        "tools": [],
    }
    said: list[Any] = [{"role": "user", "content": "Look."}]
    async for event in await sdk.responses.create(**options, input=said):
        if event.type == "response.completed":
            said += [item.model_dump(exclude_unset=True) for item in event.response.output]
    said.append({"type": "function_call_output", "call_id": "call_1", "output": "x = 1"})
    with contextlib.suppress(openai.BadRequestError):
        await sdk.responses.create(**options, input=said)
    await sdk.close()
    same_items(ours, provider.asked.pop(), "input")


CLAUDE_BLOCKS: Sequence[tuple[dict[str, Any], Sequence[dict[str, Any]]]] = [
    (
        {"type": "thinking", "thinking": "", "signature": ""},
        [
            {"type": "thinking_delta", "thinking": "Look "},
            {"type": "thinking_delta", "thinking": "first."},
            {"type": "signature_delta", "signature": "EqQB"},
        ],
    ),
    ({"type": "redacted_thinking", "data": "EmwK"}, []),
    ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "I "}, {"type": "text_delta", "text": "löök."}]),
    (
        {"type": "tool_use", "id": "t1", "name": "read_file", "input": {}},
        [
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"path": '},
            {"type": "input_json_delta", "partial_json": '"app.py"}'},
        ],
    ),
]


def streamed_message() -> list[claude.RawMessageStreamEvent]:
    """The same for Anthropic."""
    begun: dict[str, Any] = {
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
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, (block, deltas) in enumerate(CLAUDE_BLOCKS):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": "tool_use", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ending, "usage": {"output_tokens": 20}}, {"type": "message_stop"}]
    adapter: TypeAdapter[claude.RawMessageStreamEvent] = TypeAdapter(claude.RawMessageStreamEvent)
    return [adapter.validate_python(event) for event in events]


async def test_messages_carry_signed_thinking_as_the_sdk_does(client_of: Any, provider: Any) -> None:
    """Mutation tried: dropping `signature_delta` in the assembly fails this."""
    client, texts = client_of("anthropic:claude-opus-4-6"), list[str]()
    provider.says(*streamed_message())
    encoder = client.conversation("Be brief.", [], "run-1/prd/1")
    encoder.append({"role": "user", "text": "Look."})
    reply = await client.send(encoder.body(), on_text=texts.append)
    assert ("".join(texts), reply.usage) == ("I löök.", TokenUsage(100, 60, 20, 30))
    encoder.append(reply.message)
    encoder.append(
        {"role": "tools", "results": [{"id": "t1", "name": "read_file", "output": "x = 1", "failed": False}]}
    )
    with contextlib.suppress(ModelRefused):
        await client.send(encoder.body())
    ours = provider.asked.pop()

    sdk = anthropic.AsyncAnthropic(api_key="key-of-the-test", base_url=provider.url, max_retries=0)
    provider.says(*streamed_message())
    options: Any = {
        "model": "claude-opus-4-6",
        "max_tokens": 32_000,
        "cache_control": {"type": "ephemeral"},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    }
    said: list[Any] = [{"role": "user", "content": "Look."}]
    async with sdk.messages.stream(**options, messages=said) as stream:
        answer = await stream.get_final_message()
    blocks = [block.model_dump(exclude_unset=True) for block in answer.content]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "x = 1", "is_error": False}
    said += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
    with contextlib.suppress(anthropic.BadRequestError):
        await sdk.messages.create(**options, messages=said, stream=True)
    await sdk.close()
    same_items(ours, provider.asked.pop(), "messages")


def same_items(ours: Any, theirs: Any, key: str) -> None:
    """The two requests are the same JSON, and each message in them the same bytes."""
    assert ours.json == theirs.json
    for body in (ours.body, theirs.body):
        for item in theirs.json[key]:
            assert json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode() in body


STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)


def openai_refusal() -> bytes:
    said = ErrorObject(code="a_code", message="said so", param=None, type="a_type")
    return json.dumps({"error": said.model_dump()}).encode()


def anthropic_refusal() -> bytes:
    said = claude_errors.APIErrorObject(message="said so", type="api_error")
    return claude_errors.ErrorResponse(error=said, type="error", request_id="r").model_dump_json().encode()


@pytest.mark.parametrize("status", STATUSES)
async def test_what_is_tried_again_is_what_the_sdks_try_again(
    client_of: Any, provider: Any, name: str, status: int
) -> None:
    """Mutation tried: taking 409 out of the temporary statuses fails this."""
    content = anthropic_refusal() if name.startswith("anthropic") else openai_refusal()
    client = client_of(name)
    for _ in range(5):
        provider.says(content)
        provider.answers[-1].status, provider.answers[-1].content_type = status, "application/json"
    with pytest.raises((ModelUnavailable, ModelRefused, ModelKeyMissing, ModelLimited), match="said so"):
        await client.send(b"{}")
    sdk: Any = anthropic.Anthropic(api_key="k") if name.startswith("anthropic") else openai.OpenAI(api_key="k")
    request = httpx.Request("POST", provider.url)
    theirs = sdk._should_retry(httpx.Response(status, content=content, request=request))
    sdk.close()
    assert (len(provider.asked) > 1) == theirs


ANTHROPIC_KINDS: Sequence[type[Any]] = (
    claude_errors.APIErrorObject,
    claude_errors.AuthenticationError,
    claude_errors.BillingError,
    claude_errors.GatewayTimeoutError,
    claude_errors.InvalidRequestError,
    claude_errors.NotFoundError,
    claude_errors.OverloadedError,
    claude_errors.PermissionError,
    claude_errors.RateLimitError,
)
TEMPORARY = {"api_error", "overloaded_error", "rate_limit_error", "timeout_error"}


@pytest.mark.parametrize("kind", ANTHROPIC_KINDS, ids=lambda kind: kind.__name__)
async def test_each_error_anthropic_can_put_into_a_stream(client_of: Any, provider: Any, kind: type[Any]) -> None:
    (word,) = kind.model_fields["type"].annotation.__args__
    said = claude_errors.ErrorResponse(error=kind(message="said so", type=word), type="error", request_id="r")
    for _ in range(5):
        provider.says(*streamed_message()[:4], said)
    limited = ModelLimited if word == "billing_error" else ModelRefused
    expected = ModelUnavailable if word in TEMPORARY else limited
    with pytest.raises(expected, match="said so"):
        await client_of("anthropic:claude-opus-4-6").send(b"{}")
    assert len(provider.asked) == (5 if word in TEMPORARY else 1)


async def test_openais_errors_in_a_stream(client_of: Any, provider: Any) -> None:
    failed = {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "said so"}}
    ending = gpt.ResponseFailedEvent(
        type="response.failed", response=gpt.Response.model_validate(failed), sequence_number=1
    )
    refused = gpt.ResponseErrorEvent(
        type="error", code="invalid_prompt", message="said no", param=None, sequence_number=1
    )
    provider.says(*streamed_response()[:4], ending)
    provider.says(*streamed_response()[:4], refused)
    with pytest.raises(ModelRefused, match="said no"):
        await client_of("openai:gpt-5.3-codex").send(b"{}")
    assert len(provider.asked) == 2
