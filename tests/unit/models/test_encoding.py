"""Requests grow at their end only: each begins with the one before, byte for byte."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.agents.models.client import open_client
from phasegate.agents.models.conversation import Message, TokenUsage, ToolSpec, parse_arguments
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.wire import Encoder

NAMES = ("openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:local-model")
TOOLS = [ToolSpec("run", "Runs a command.", {"type": "object", "properties": {"command": {"type": "string"}}})]

texts = st.text(st.characters(), max_size=40)  # lone surrogates, NUL and U+2028 included
calls = st.lists(
    st.builds(lambda raw: {"id": "c", "name": "run", "args": parse_arguments(raw), "raw": raw}, texts), max_size=2
)
messages = st.one_of(
    st.builds(lambda text: {"role": "user", "text": text}, texts),
    st.builds(lambda text, calls: {"role": "assistant", "text": text, "calls": calls, "native": []}, texts, calls),
    st.builds(
        lambda outputs: {
            "role": "tools",
            "results": [{"id": "c", "name": "run", "output": output, "failed": False} for output in outputs],
        },
        st.lists(texts, min_size=1, max_size=2),
    ),
)


def conversation(name: str, instructions: str = "Be brief.", tools: list[ToolSpec] = TOOLS) -> Encoder:
    client = open_client(ModelName.parse(name), base_url="http://127.0.0.1:9", key="", http=_http())
    return client.conversation(instructions, tools, "run-1/prd/1")


@cache
def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=False)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the machine's speed is not what is tested
@given(instructions=texts, said=st.lists(messages, max_size=6))
def test_each_request_begins_with_the_one_before(name: str, instructions: str, said: list[Message]) -> None:
    encoder = conversation(name, instructions)
    before = encoder.body()
    json.loads(before)
    for message in said:
        encoder.append(message)
        body = encoder.body()
        json.loads(body)
        assert before.endswith(b"]}")
        assert body.startswith(before[:-2])
        before = body


@pytest.mark.parametrize("name", NAMES)
def test_two_encoders_of_one_conversation_agree(name: str) -> None:
    said: list[Message] = [{"role": "user", "text": "a"}, {"role": "user", "text": "b"}]
    early, late = conversation(name), conversation(name)
    for message in said:
        early.append(message)
        early.body()
        late.append(message)
    assert early.body() == late.body()


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_without_tools(name: str) -> None:
    assert not json.loads(conversation(name, tools=[]).body()).get("tools")


def test_openais_cache_key_is_never_longer_than_the_api_takes() -> None:
    keys = [_cache_key_of("run-1/prd/1"), _cache_key_of("r" * 65), _cache_key_of("r" * 66)]
    assert keys[0] == "run-1/prd/1"
    assert [len(key) for key in keys[1:]] == [64, 64]
    assert keys[1] != keys[2]


def _cache_key_of(thread: str) -> str:
    client = open_client(ModelName.parse(NAMES[0]), base_url="http://127.0.0.1:9", key="", http=_http())
    return str(json.loads(client.conversation("", [], thread).body())["prompt_cache_key"])


def test_anthropic_is_sent_no_empty_message() -> None:
    encoder = conversation("anthropic:claude-opus-4-6")
    encoder.append({"role": "assistant", "text": " \n", "calls": [], "native": []})
    assert json.loads(encoder.body())["messages"] == []


@pytest.mark.parametrize(
    ("raw", "args"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ("  ", {}),
        ("[1]", None),
        ('{"a": NaN}', None),
        ('{"a": ', None),
        ("[" * 100_000, None),
    ],
)
def test_arguments(raw: str, args: Any) -> None:
    assert parse_arguments(raw) == args


def test_usage_adds_up() -> None:
    assert TokenUsage(1, 2, 3, 4) + TokenUsage(10, 20, 30, 40) == TokenUsage(11, 22, 33, 44)
