"""Failures on the way to a model: retried, or reported as what they are, and never half an answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from phasegate.agents.models.client import Retries, open_client
from phasegate.agents.models.names import ModelName
from phasegate.infra.errors import (
    ModelKeyMissing,
    ModelLimited,
    ModelRefused,
    ModelUnavailable,
    PhasegateError,
    RehearsalDeparted,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE: dict[str, list[Any]] = {
    "openai:gpt-5.3-codex": [
        {"type": "response.output_text.delta", "delta": "Hello."},
        {
            "type": "response.completed",
            "response": {
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}],
            },
        },
    ],
    "anthropic:claude-opus-4-6": [
        {"type": "message_start", "message": {"type": "message", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
        {"type": "message_stop"},
    ],
    "compatible:local-model": [
        {"choices": [{"delta": {"content": "Hello."}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ],
}


def canned(provider: Any, **fields: Any) -> None:
    provider.says()
    provider.answers[-1] = replace(provider.answers[-1], **fields)


async def answered(client: Any) -> str:
    reply = await client.send(client.conversation("Be brief.", [], "thread").body())
    return str(reply.message["text"])


async def test_a_temporary_status_is_tried_again(client_of: Any, provider: Any, name: str) -> None:
    for status in (408, 409, 429, 500, 502, 503, 529):
        canned(provider, status=status)
        provider.says(*WHOLE[name])
        assert await answered(client_of(name)) == "Hello.", status
        first, second = provider.asked
        assert first.body == second.body
        provider.asked.clear()


async def test_waits_double_up_to_five_tries(client_of: Any, provider: Any, sleeper: Any, name: str) -> None:
    for _ in range(6):
        canned(provider, status=503, parts=[b"overloaded"])
    with pytest.raises(ModelUnavailable, match=r"overloaded \(5 tries\)"):
        await answered(client_of(name))
    assert sleeper.slept == [1.0, 2.0, 4.0, 8.0]
    assert len(provider.asked) == 5


async def test_the_provider_says_how_long_to_wait(client_of: Any, provider: Any, sleeper: Any, name: str) -> None:
    canned(provider, status=429, headers={"retry-after": "7"})
    canned(provider, status=429, headers={"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"})
    provider.says(*WHOLE[name])
    assert await answered(client_of(name)) == "Hello."
    assert sleeper.slept == [7.0, 0.0]


async def test_the_provider_may_say_it_in_milliseconds(client_of: Any, provider: Any, sleeper: Any, name: str) -> None:
    canned(provider, status=429, headers={"retry-after-ms": "250", "retry-after": "7"})
    provider.says(*WHOLE[name])
    assert await answered(client_of(name)) == "Hello."
    assert sleeper.slept == [0.25]


async def test_the_provider_says_whether_trying_again_helps(client_of: Any, provider: Any, name: str) -> None:
    """Mutation tried: not looking at the header fails this."""
    canned(provider, status=400, headers={"x-should-retry": "true"})
    canned(provider, status=429, headers={"x-should-retry": "false"})
    with pytest.raises(ModelRefused):
        await answered(client_of(name))
    assert len(provider.asked) == 2


async def test_a_long_wait_is_left_to_the_caller(client_of: Any, provider: Any, sleeper: Any, name: str) -> None:
    canned(provider, status=429, headers={"retry-after": "3600"})
    with pytest.raises(ModelUnavailable) as caught:
        await answered(client_of(name))
    assert caught.value.delay == timedelta(hours=1)
    assert sleeper.slept == []


async def test_a_cut_stream_is_never_half_applied(client_of: Any, provider: Any, name: str) -> None:
    for kept in range(len(WHOLE[name])):
        for finished in (True, False):
            provider.says(*WHOLE[name][:kept])
            provider.answers[-1].finished = finished
            provider.says(*WHOLE[name])
            assert await answered(client_of(name)) == "Hello."
            assert len(provider.asked) == 2, (kept, finished)
            provider.asked.clear()


async def test_half_an_event_is_no_event(client_of: Any, provider: Any, name: str) -> None:
    provider.says(*WHOLE[name])
    provider.says(*WHOLE[name])
    first = provider.answers[0]
    first.parts = [*first.parts[:-1], first.parts[-1][:-2]]
    assert await answered(client_of(name)) == "Hello."
    assert len(provider.asked) == 2


async def test_an_unreachable_provider(http: httpx.AsyncClient, sleeper: Any, name: str) -> None:
    retries = Retries(tries=2, sleep=sleeper)
    client = open_client(ModelName.parse(name), base_url="http://127.0.0.1:9", key="k", http=http, retries=retries)
    with pytest.raises(ModelUnavailable, match=f"{name} was out of reach"):
        await answered(client)


@dataclass
class Refusal:
    status: int
    body: bytes
    error: type[PhasegateError]
    message: str


REFUSALS = [
    Refusal(400, b'{"error": {"message": "no such tool"}}', ModelRefused, "no such tool"),
    Refusal(404, b"<html>lost</html>", ModelRefused, "lost"),
    Refusal(413, b"", ModelRefused, "HTTP 413"),
    Refusal(422, b'{"error": {"message": "bad"}}', ModelRefused, "bad"),
    Refusal(429, b'{"error": {"code": "insufficient_quota", "message": "no money"}}', ModelLimited, "no money"),
    Refusal(
        422,
        b'{"error": {"type": "rehearsal_departed", "message": "lost the thread", "stage": "prd", "turn": 2}}',
        RehearsalDeparted,
        "lost the thread",
    ),
]


async def test_a_refusal_is_reported_at_once(client_of: Any, provider: Any, name: str) -> None:
    for refusal in REFUSALS:
        canned(provider, status=refusal.status, parts=[refusal.body], content_type="application/json")
        with pytest.raises(refusal.error, match=refusal.message):
            await answered(client_of(name))
        assert len(provider.asked) == 1
        provider.asked.clear()


async def test_a_refused_key_names_its_variable(client_of: Any, provider: Any, name: str) -> None:
    for status in (401, 403):
        canned(provider, status=status, parts=[b'{"error": {"message": "invalid key-of-the-test"}}'])
        with pytest.raises(ModelKeyMissing, match="_API_KEY: invalid ") as caught:
            await answered(client_of(name))
        assert "key-of-the-test" not in str(caught.value)


ERRORS_IN_STREAMS: dict[str, tuple[Any, Any]] = {
    "openai:gpt-5.3-codex": (
        {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}},
        {"type": "error", "code": "invalid_prompt", "message": "not this"},
    ),
    "anthropic:claude-opus-4-6": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"type": "error", "error": {"type": "invalid_request_error", "message": "not this"}},
    ),
    "compatible:local-model": (
        {"error": {"code": 502, "message": "upstream"}},
        {"error": {"code": "invalid_prompt", "message": "not this"}},
    ),
}


async def test_an_error_inside_the_stream(client_of: Any, provider: Any, name: str) -> None:
    temporary, permanent = ERRORS_IN_STREAMS[name]
    provider.says(*WHOLE[name][:1], temporary)
    provider.says(permanent)
    with pytest.raises(ModelRefused, match="not this"):
        await answered(client_of(name))
    assert len(provider.asked) == 2


async def test_noise_is_no_answer(client_of: Any, provider: Any, name: str) -> None:
    for noise in (b"data: {not json\n\n", b"data: \xff\n\n", b"data: []\n\n"):
        provider.says(noise, *WHOLE[name])
        provider.says(*WHOLE[name])
        assert await answered(client_of(name)) == "Hello."
        assert len(provider.asked) == 2, noise
        provider.asked.clear()


async def test_cancelling_closes_the_stream(client_of: Any, provider: Any, name: str) -> None:
    provider.says(*WHOLE[name][:-1])
    provider.answers[-1].held = True
    sending = asyncio.create_task(answered(client_of(name)))
    async with asyncio.timeout(5):
        await provider.holding.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await provider.hung_up.wait()


async def test_an_answer_without_streaming_is_read_too(client_of: Any, provider: Any) -> None:
    message = b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'
    canned(provider, parts=[message], content_type="application/json")
    assert await answered(client_of("compatible:local-model")) == "Hello."
