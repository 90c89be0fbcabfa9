"""The same conversation, sent by the official SDKs and by our client, is the same JSON."""

from __future__ import annotations

import contextlib
from typing import Any

import anthropic
import openai
import pytest

from phasegate.agents.models.conversation import Message, ToolSpec

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSTRUCTIONS = "You write tests.\nBe brief. Ü"
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [ToolSpec("read_file", "Reads a file.", PARAMETERS)]
CONVERSATION: list[Message] = [
    {"role": "user", "text": "What does app.py hold?"},
    {
        "role": "assistant",
        "text": "I look.",
        "calls": [{"id": "call_1", "name": "read_file", "args": {"path": "app.py"}, "raw": '{"path":"app.py"}'}],
        "native": [],
    },
    {"role": "tools", "results": [{"id": "call_1", "name": "read_file", "output": "def greet():", "failed": False}]},
    {"role": "user", "text": "Hurry."},
]


async def our_request(client_of: Any, provider: Any, name: str) -> Any:
    client = client_of(name)
    encoder = client.conversation(INSTRUCTIONS, TOOLS, "run-1/prd/1")
    for message in CONVERSATION:
        encoder.append(message)
    with contextlib.suppress(Exception):
        await client.send(encoder.body())
    return provider.asked.pop()


async def test_responses(client_of: Any, provider: Any) -> None:
    ours = await our_request(client_of, provider, "openai:gpt-5.3-codex")
    sdk = openai.AsyncOpenAI(api_key="key-of-the-test", base_url=f"{provider.url}/v1", max_retries=0)
    with contextlib.suppress(openai.BadRequestError):
        await sdk.responses.create(
            model="gpt-5.3-codex",
            instructions=INSTRUCTIONS,
            stream=True,
            store=False,
            include=["reasoning.encrypted_content"],
            prompt_cache_key="run-1/prd/1",
            tools=[
                {
                    "type": "function",
                    "name": "read_file",
                    "description": "Reads a file.",
                    "parameters": PARAMETERS,
                    "strict": False,
                }
            ],
            input=[
                {"role": "user", "content": "What does app.py hold?"},
                {"role": "assistant", "content": "I look."},
                {
                    "type": "function_call",
                    "call_id": "call_1",
                    "name": "read_file",
                    "arguments": '{"path":"app.py"}',
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "def greet():"},
                {"role": "user", "content": "Hurry."},
            ],
        )
    await sdk.close()
    theirs = provider.asked.pop()
    assert theirs.json == ours.json
    assert (theirs.path, theirs.headers["authorization"]) == (ours.path, ours.headers["authorization"])


async def test_chat_completions(client_of: Any, provider: Any) -> None:
    ours = await our_request(client_of, provider, "compatible:local-model")
    sdk = openai.AsyncOpenAI(api_key="key-of-the-test", base_url=f"{provider.url}/v1", max_retries=0)
    with contextlib.suppress(openai.BadRequestError):
        await sdk.chat.completions.create(
            model="local-model",
            stream=True,
            stream_options={"include_usage": True},
            tools=[
                {
                    "type": "function",
                    "function": {"name": "read_file", "description": "Reads a file.", "parameters": PARAMETERS},
                }
            ],
            messages=[
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": "What does app.py hold?"},
                {
                    "role": "assistant",
                    "content": "I look.",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "read_file", "arguments": '{"path":"app.py"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "def greet():"},
                {"role": "user", "content": "Hurry."},
            ],
        )
    await sdk.close()
    theirs = provider.asked.pop()
    assert theirs.json == ours.json
    assert (theirs.path, theirs.headers["authorization"]) == (ours.path, ours.headers["authorization"])


async def test_messages(client_of: Any, provider: Any) -> None:
    ours = await our_request(client_of, provider, "anthropic:claude-opus-4-6")
    sdk = anthropic.AsyncAnthropic(api_key="key-of-the-test", base_url=provider.url, max_retries=0)
    with contextlib.suppress(anthropic.BadRequestError):
        await sdk.messages.create(
            model="claude-opus-4-6",
            max_tokens=32_000,
            stream=True,
            cache_control={"type": "ephemeral"},
            system=[{"type": "text", "text": INSTRUCTIONS, "cache_control": {"type": "ephemeral"}}],
            tools=[{"name": "read_file", "description": "Reads a file.", "input_schema": PARAMETERS}],
            messages=[
                {"role": "user", "content": "What does app.py hold?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "call_1", "name": "read_file", "input": {"path": "app.py"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_1",
                            "content": "def greet():",
                            "is_error": False,
                        }
                    ],
                },
                {"role": "user", "content": "Hurry."},
            ],
        )
    await sdk.close()
    theirs = provider.asked.pop()
    assert theirs.json == ours.json
    assert theirs.path == ours.path
    # The SDK sends a newer version and a bearer token; ours are the documented ones, which gateways know too.
    assert (ours.headers["x-api-key"], ours.headers["anthropic-version"]) == ("key-of-the-test", "2023-06-01")
