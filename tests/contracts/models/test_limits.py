"""Limits, refusals and overloads of providers, each told apart by what it is sent as, through the real clients.

Mutations tried: a rule left out of the table; the first rule put last; a reset header read whose limit is not used up;
the end of a limit told in UTC; a wait of a message not read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.contracts.models.test_failures import WHOLE, answered, canned

from phasegate.agents.models.error_rules import error_rules, rule_for
from phasegate.infra.errors import ModelDeclined, ModelLimited, ModelRefused, ModelUnavailable, PhasegateError

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERRORS = {"limit": ModelLimited, "declined": ModelDeclined, "retry": ModelUnavailable, "stop": ModelRefused}


@pytest.fixture(autouse=True)
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that no UTC time is taken for."""
    monkeypatch.setenv("TZ", "XST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M XST")


@dataclass
class Sent:
    """An answer that is not a success, and what comes of it."""

    status: int
    error: Any
    outcome: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def body(self) -> bytes:
        return json.dumps({"type": "error", "error": self.error}).encode()


SENT = [
    Sent(429, {"type": "usage_limit_reached", "message": "The usage limit has been reached"}, "limit"),
    Sent(429, {"type": "usage_not_included", "message": "not in this plan"}, "limit"),
    Sent(429, {"type": "insufficient_quota", "code": "credit_balance_exhausted", "message": "no credit"}, "limit"),
    Sent(429, {"type": "insufficient_quota", "code": "something new", "message": "no credit"}, "limit"),
    Sent(429, {"code": "project_spend_limit_exceeded", "message": "spent"}, "limit"),
    Sent(403, {"code": "billing_hard_limit_reached", "message": "spent"}, "limit"),
    Sent(
        429,
        {"type": "rate_limit_error", "message": "cap", "details": {"error_code": "enforced_spend_limit_reached"}},
        "limit",
    ),
    Sent(
        400,
        {"type": "invalid_request_error", "message": "You have reached your specified workspace API usage limits."},
        "limit",
    ),
    Sent(400, {"type": "invalid_request_error", "message": "Your credit balance is too low to go on."}, "limit"),
    Sent(402, {"type": "billing_error", "message": "pay"}, "limit"),
    Sent(402, {"code": 402, "message": "Insufficient credits"}, "limit"),
    Sent(400, {"code": "content_filter", "message": "The response was filtered"}, "declined"),
    Sent(400, {"code": "cyber_policy", "message": "no"}, "declined"),
    Sent(400, {"code": "content_policy_violation", "message": "no"}, "declined"),
    Sent(400, {"code": "invalid_prompt", "message": "flagged as potentially violating our policy"}, "declined"),
    Sent(403, {"code": 403, "message": "Your input was flagged"}, "declined"),
    Sent(400, {"message": "Selected model is at capacity. Please try a different model."}, "retry"),
    Sent(400, {"message": "The model is currently overloaded"}, "retry"),
    Sent(503, {"type": "service_unavailable_error", "code": "server_is_overloaded", "message": "busy"}, "retry"),
    Sent(529, {"type": "overloaded_error", "message": "Overloaded"}, "retry"),
    Sent(599, {"message": "proxy"}, "retry"),
    Sent(429, {"type": "rate_limit_error", "message": "slow"}, "retry"),
    Sent(429, {"type": ["odd"], "code": {"odd": 1}, "details": "odd", "message": 7}, "retry"),
    Sent(400, {"type": "invalid_request_error", "message": "no such tool"}, "stop"),
    Sent(400, {"type": "invalid_request_error", "message": "capacity must be positive"}, "stop"),
    Sent(404, {"type": "not_found_error", "message": "no such model"}, "stop"),
]


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: f"{sent.status} {sent.error.get('message')}")
async def test_each_error_of_the_table_comes_out_as_it_says(
    client_of: Any, provider: Any, name: str, sent: Sent
) -> None:
    for _ in range(5):
        canned(provider, status=sent.status, parts=[sent.body()], content_type="application/json")
    with pytest.raises(PhasegateError, match=f"{name}") as caught:
        await answered(client_of(name))
    assert type(caught.value) is ERRORS[sent.outcome]
    assert len(provider.asked) == (5 if sent.outcome == "retry" else 1)


async def test_each_rule_of_the_table_has_an_example() -> None:
    """A rule on errors within an answer has one in ERRORS_WITHIN."""
    for rule in error_rules():
        words = [{str(word) for word in (sent.error.get("type"), sent.error.get("code"))} for sent in SENT]
        details = [str(sent.error["details"]) for sent in SENT if isinstance(sent.error.get("details"), dict)]
        examples = [
            sent
            for sent, named in zip(SENT, words, strict=True)
            if rule_for(sent.status, {*named, *_details(sent)}, str(sent.error["message"])) is rule
        ]
        within = [word for word in WITHIN if rule_for(None, {word}, "said so") is rule]
        assert examples or within, (rule, details)


def _details(sent: Sent) -> set[str]:
    details = sent.error.get("details")
    return {details["error_code"]} if isinstance(details, dict) else set()


WITHIN = {
    "overloaded_error": "retry",
    "server_is_overloaded": "retry",
    "slow_down": "retry",
    "rate_limit_exceeded": "retry",
    "server_error": "retry",
    "insufficient_quota": "limit",
    "usage_limit_reached": "limit",
    "cyber_policy": "declined",
    "something_new": "stop",
    "503": "retry",
    "402": "limit",
    "400": "stop",
}


def within(name: str, word: str, **facts: Any) -> Any:
    """An error within a stream, as the protocol spells it."""
    if name.startswith("openai"):
        error = {"code": word, "message": "said so", **facts}
        return {"type": "response.failed", "response": {"status": "failed", "error": error}}
    if name.startswith("anthropic"):
        return {"type": "error", "error": {"type": word, "message": "said so", **facts}}
    return {"error": {"code": word, "message": "said so", **facts}}


@pytest.mark.parametrize("word", WITHIN)
async def test_errors_within_an_answer(client_of: Any, provider: Any, name: str, word: str) -> None:
    for _ in range(5):
        provider.says(*WHOLE[name][:1], within(name, word))
    with pytest.raises(ERRORS[WITHIN[word]], match="said so") as caught:
        await answered(client_of(name))
    assert type(caught.value) is ERRORS[WITHIN[word]]
    assert len(provider.asked) == (5 if WITHIN[word] == "retry" else 1)


LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3, hours=2)
ENDS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "resets_at": ({"resets_at": LATER.timestamp()}, {}),
    "resets_at as text": ({"resets_at": str(int(LATER.timestamp()))}, {}),
    "resets_at, which goes first": ({"resets_at": LATER.timestamp(), "resets_in_seconds": 5}, {"retry-after": "9"}),
    "resets_in_seconds": ({"resets_in_seconds": 3 * 86400 + 7200}, {}),
    "Retry-After in seconds": ({}, {"retry-after": str(3 * 86400 + 7200)}),
    "Retry-After as a date": ({}, {"retry-after": format_datetime(LATER, usegmt=True)}),
    "a reset of days and hours": ({}, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3d2h0m0s"}),
    "a reset as a date": (
        {},
        {
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": LATER.isoformat().replace("+00:00", "Z"),
        },
    ),
    "a reset in milliseconds since 1970": ({}, {"x-ratelimit-reset": str(int(LATER.timestamp() * 1000))}),
    "the message": ({"message": "Please try again in 3d2h."}, {}),
    "the message in seconds": ({"message": f"try again in {3 * 86400 + 7200} seconds"}, {}),
}


@pytest.mark.parametrize("case", ENDS)
async def test_a_limit_says_until_when_in_local_time_with_its_zone(
    client_of: Any, provider: Any, name: str, case: str
) -> None:
    facts, headers = ENDS[case]
    error = {"type": "usage_limit_reached", "message": "used up", **facts}
    body = json.dumps({"error": error}).encode()
    canned(provider, status=429, parts=[body], content_type="application/json", headers=headers)
    with pytest.raises(ModelLimited) as caught:
        await answered(client_of(name))
    until = datetime.strptime(caught.value.message.split(" until ")[1][:16], "%Y-%m-%d %H:%M").astimezone()
    latest = datetime.now(UTC) + timedelta(days=3, hours=2)  # where the case tells a duration
    assert LATER - timedelta(minutes=1) <= until <= latest
    assert local(until) in caught.value.message
    assert caught.value.context["model"] == name


async def test_a_limit_within_an_answer_says_it_too(client_of: Any, provider: Any, name: str) -> None:
    provider.says(within(name, "usage_limit_reached", resets_at=LATER.timestamp()))
    with pytest.raises(ModelLimited, match=local(LATER)):
        await answered(client_of(name))


async def test_a_limit_of_the_month_ends_with_it(client_of: Any, provider: Any, name: str) -> None:
    error = {"type": "rate_limit_error", "message": "cap", "details": {"error_code": "enforced_spend_limit_reached"}}
    canned(provider, status=429, parts=[json.dumps({"error": error}).encode()], content_type="application/json")
    with pytest.raises(ModelLimited) as caught:
        await answered(client_of(name))
    end = datetime.fromisoformat(str(caught.value.context["until"]))
    assert (end.day, end.hour, end.minute) == (1, 0, 0)
    assert timedelta(0) < end - datetime.now(UTC) <= timedelta(days=31)


async def test_access_is_regained_at_the_time_of_the_message(client_of: Any, provider: Any, name: str) -> None:
    message = "You have reached your specified API usage limits. You will regain access on 2031-02-01 at 00:00 UTC."
    error = {"type": "invalid_request_error", "message": message}
    canned(provider, status=400, parts=[json.dumps({"error": error}).encode()], content_type="application/json")
    with pytest.raises(ModelLimited, match="until 2031-02-01 05:30 XST: You have reached"):
        await answered(client_of(name))


NO_TIMES: list[dict[str, Any]] = [
    {"resets_at": 2**70},
    {"resets_at": "soon"},
    {"resets_at": None, "resets_in_seconds": None},
    {"resets_at": True},
    {"resets_at": [1]},
    {"resets_at": "9" * 400},
    {"resets_in_seconds": "NaN"},
]


@pytest.mark.parametrize("facts", NO_TIMES, ids=lambda facts: str(facts)[:30])
async def test_a_malformed_time_is_none(client_of: Any, provider: Any, name: str, facts: Any) -> None:
    body = json.dumps({"error": {"type": "usage_limit_reached", "message": "used up", **facts}}).encode()
    headers = {"x-ratelimit-reset-requests": "whenever", "retry-after": "in a while"}
    canned(provider, status=429, parts=[body], content_type="application/json", headers=headers)
    with pytest.raises(ModelLimited, match="reached a limit of its account: used up"):
        await answered(client_of(name))


WAITS: dict[str, tuple[dict[str, str], str, float]] = {
    "Retry-After": ({"retry-after": "7", "x-ratelimit-reset-tokens": "3s"}, "slow", 7.0),
    "a reset of what is used up": ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1.5s"}, "s", 1.5),
    "the last of two": ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "6s"}, "slow", 6.0),
    "none of what is left": ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6s"}, "slow", 1.0),
    "the message": ({}, "Rate limit reached. Please try again in 1.898s.", 1.898),
    "the message in milliseconds": ({}, "Please try again in 20ms.", 0.02),
    "nothing": ({}, "slow", 1.0),
}


@pytest.mark.parametrize("case", WAITS)
async def test_a_rate_limit_is_waited_for(client_of: Any, provider: Any, sleeper: Any, name: str, case: str) -> None:
    headers, message, seconds = WAITS[case]
    body = json.dumps({"error": {"type": "rate_limit_error", "message": message}}).encode()
    canned(provider, status=429, parts=[body], content_type="application/json", headers=headers)
    provider.says(*WHOLE[name])
    assert await answered(client_of(name)) == "Hello."
    assert sleeper.slept == [pytest.approx(seconds)]


async def test_a_limit_that_ends_in_a_moment_is_waited_for(
    client_of: Any, provider: Any, sleeper: Any, name: str
) -> None:
    error = {"type": "usage_limit_reached", "message": "used up", "resets_in_seconds": 3}
    canned(provider, status=429, parts=[json.dumps({"error": error}).encode()], content_type="application/json")
    provider.says(*WHOLE[name])
    assert await answered(client_of(name)) == "Hello."
    assert sleeper.slept == [pytest.approx(3.0, abs=0.5)]


async def test_a_server_error_is_not_put_off_until_a_rate_limit_ends(
    client_of: Any, provider: Any, sleeper: Any, name: str
) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "23h"}
    canned(provider, status=503, headers=headers)
    provider.says(*WHOLE[name])
    assert await answered(client_of(name)) == "Hello."
    assert sleeper.slept == [1.0]


async def test_a_wait_that_is_too_long_says_until_when(client_of: Any, provider: Any, sleeper: Any, name: str) -> None:
    canned(provider, status=429, headers={"x-ratelimit-reset-requests": "23h0m0s"}, parts=[b"slow"])
    with pytest.raises(ModelUnavailable, match=r"\(1 try, asks to wait until .* XST\)") as caught:
        await answered(client_of(name))
    until = datetime.now(UTC) + timedelta(hours=23)
    assert any(local(until - timedelta(seconds=late)) in caught.value.message for late in (0, 60))
    assert "phasegate resume" in caught.value.remedy
    assert sleeper.slept == []
