"""P17: an odd answer of a provider is refused and asked for again, within bounds, in each protocol."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.models.conftest import sse
from tests.contracts.models.test_failures import WHOLE

from phasegate.agents.models.conversation import parse_arguments
from phasegate.infra.artifacts import canonical_json
from phasegate.infra.errors import ModelUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")


def streamed(name: str, **odd: Any) -> list[bytes]:
    """Events of an answer with one call, with some of its parts replaced: `text`, `arguments`, `tokens`."""
    text, arguments, tokens = odd.get("text", "Hello"), odd.get("arguments", "{}"), odd.get("tokens", 7)
    match name.partition(":")[0]:
        case "openai":
            items = [
                {"type": "message", "content": [{"type": "output_text", "text": text}]},
                {"type": "function_call", "call_id": "c", "name": "run", "arguments": arguments},
            ]
            usage = {"input_tokens": tokens, "output_tokens": 1, "input_tokens_details": {"cached_tokens": tokens}}
            response = {"status": "completed", "output": items, "usage": usage}
            events: list[Any] = [{"type": "response.completed", "response": response}]
        case "anthropic":
            usage = {"input_tokens": tokens, "cache_read_input_tokens": tokens}
            events = [
                {"type": "message_start", "message": {"type": "message", "usage": usage}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": text}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}},
                {
                    "type": "content_block_start",
                    "index": 1,
                    "content_block": {"type": "tool_use", "id": "c", "name": "run"},
                },
                {
                    "type": "content_block_delta",
                    "index": 1,
                    "delta": {"type": "input_json_delta", "partial_json": arguments},
                },
                {"type": "message_stop"},
            ]
        case _:
            call = {"index": 0, "id": "c", "function": {"name": "run", "arguments": arguments}}
            usage = {
                "prompt_tokens": tokens,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": tokens},
            }
            events = [
                {"choices": [{"delta": {"content": text}}]},
                {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}], "usage": usage},
            ]
    return [sse(event) for event in events]


def whole(name: str) -> list[bytes]:
    return [sse(event) for event in WHOLE[name]]


def says(provider: Any, parts: list[bytes], **fields: Any) -> None:
    provider.says()
    provider.answers[-1] = replace(provider.answers[-1], parts=parts, **fields)


async def sent(client: Any) -> Any:
    return await client.send(client.conversation("Be brief.", [], "thread").body())


@pytest.mark.parametrize(
    "odd",
    [
        {"tokens": 2**70},
        {"tokens": int("9" * 50)},
        {"tokens": -1},
        {"tokens": "many"},
        {"tokens": [1]},
        {"text": [1]},
        {"text": 5},
        {"text": {"a": 1}},
    ],
    ids=str,
)
async def test_an_odd_answer_is_asked_for_again(client_of: Any, provider: Any, name: str, odd: Any) -> None:
    """Mutations tried: counts without a bound; `+` on a block's text whatever it is."""
    says(provider, streamed(name, **odd))
    says(provider, whole(name))
    reply = await sent(client_of(name))
    assert reply.message["text"] == "Hello."
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    "raw", ["1" * 5_000, "[" * 900 + "]" * 900, "NaN", "1e999", '"\\ud800'], ids=lambda raw: raw[:6]
)
async def test_an_event_past_a_bound_is_asked_for_again(client_of: Any, provider: Any, name: str, raw: str) -> None:
    says(provider, [b'data: {"type": "ping", "odd": ' + raw.encode() + b"}\n\n", *streamed(name)])
    says(provider, whole(name))
    assert (await sent(client_of(name))).message["text"] == "Hello."


async def test_counts_that_are_null_are_none(client_of: Any, provider: Any, name: str) -> None:
    says(provider, streamed(name, tokens=None))
    assert (await sent(client_of(name))).usage.input_tokens == 0


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        ('{"\\udfff": 1}', {"\ufffd": 1}),
        ('{"a": Infinity}', None),
        ('{"a": NaN}', None),
        ('{"a": 1e999}', None),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", None),
        ('{"a": ' + "1" * 5_000 + "}", None),
        ("[1]", None),
        ("", {}),
    ],
)
async def test_odd_arguments(client_of: Any, provider: Any, name: str, arguments: str, args: Any) -> None:
    """Mutation tried: `json.loads` of the arguments."""
    says(provider, streamed(name, arguments=arguments))
    reply = await sent(client_of(name))
    (call,) = reply.message["calls"]
    assert call["args"] == args == parse_arguments(arguments)
    canonical_json(reply.message).encode()
    client = client_of(name)
    conversation = client.conversation("Be brief.", [], "thread")
    conversation.append(reply.message)
    json.loads(conversation.body())


async def test_half_of_a_character_in_a_delta(client_of: Any, provider: Any, name: str) -> None:
    says(provider, streamed(name, text="a\ud800"))
    reply = await sent(client_of(name))
    assert reply.message["text"].startswith("a\ufffd")
    canonical_json(reply.message).encode()


async def test_one_delta_of_4_mb_takes_no_time(client_of: Any, provider: Any, name: str) -> None:
    """Mutation tried: the decoder joins what is left of a line to each chunk."""
    text = "x" * 4_000_000
    body = b"".join(streamed(name, text=text))
    says(provider, [body[at : at + 4_096] for at in range(0, len(body), 4_096)])
    began = time.process_time()
    reply = await sent(client_of(name))
    assert reply.message["text"].startswith(text)
    assert time.process_time() - began < 20


async def test_a_gzip_bomb_is_not_unfolded(client_of: Any, provider: Any, name: str, sleeper: Any) -> None:
    """Mutation tried: a body without a bound."""
    bomb = gzip.compress(b"data: " + b"x" * 200_000_000)
    for _ in range(5):
        says(provider, [bomb], headers={"content-encoding": "gzip"})
    with pytest.raises(ModelUnavailable, match="longer than 33,554,432 bytes"):
        await sent(client_of(name))


async def test_a_refusal_without_end_is_a_refusal(client_of: Any, provider: Any, name: str) -> None:
    says(provider, [b"x" * 100_000] * 20, status=503, content_type="text/plain")
    says(provider, whole(name))
    assert (await sent(client_of(name))).message["text"] == "Hello."
