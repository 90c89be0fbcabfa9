"""The official SDKs talk to the rehearsal server, streaming and not, and understand it."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "First I read what is there, at some length, so that it comes in pieces."
CALLS = [("read_file", '{"path":"app.py"}'), ("list_files", "{}")]


@pytest_asyncio.fixture(loop_scope="module")
async def gpt(stage: Any) -> Any:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{stage.url()}/v1", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def claude(stage: Any) -> Any:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=stage.url(), max_retries=0) as client:
        yield client


def check_response(response: Any) -> None:
    assert response.output_text == TEXT
    assert [(item.name, item.arguments) for item in response.output if item.type == "function_call"] == CALLS
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def test_responses(gpt: Any) -> None:
    check_response(await gpt.responses.create(model="gpt-5.3-codex", input="Ticket"))


async def test_responses_streamed(gpt: Any) -> None:
    async with gpt.responses.stream(model="gpt-5.3-codex", input="Ticket") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        check_response(await stream.get_final_response())
    assert "".join(deltas) == TEXT
    assert len(deltas) > 1


async def test_responses_go_on_from_what_the_sdk_sends_back(gpt: Any) -> None:
    said: list[Any] = [{"role": "user", "content": "Ticket"}]
    response = await gpt.responses.create(model="gpt-5.3-codex", input=said)
    said += response.output
    said += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "def greet()"}
        for item in response.output
        if item.type == "function_call"
    ]
    response = await gpt.responses.create(model="gpt-5.3-codex", input=said)
    assert response.output_text == "Ümläute sind drin."


def check_completion(completion: Any) -> None:
    choice = completion.choices[0]
    assert (choice.message.content, choice.finish_reason) == (TEXT, "tool_calls")
    assert [(call.function.name, call.function.arguments) for call in choice.message.tool_calls] == CALLS
    assert completion.usage.prompt_tokens > 0


async def test_chat_completions(gpt: Any) -> None:
    messages = [{"role": "user", "content": "Ticket"}]
    check_completion(await gpt.chat.completions.create(model="m", messages=messages))


async def test_chat_completions_streamed(gpt: Any) -> None:
    async with gpt.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "Ticket"}], stream_options={"include_usage": True}
    ) as stream:
        check_completion(await stream.get_final_completion())


async def test_chat_completions_streamed_without_usage(gpt: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Ticket"}]}]
    chunks = [chunk async for chunk in await gpt.chat.completions.create(model="m", messages=messages, stream=True)]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def check_message(message: Any) -> None:
    assert message.content[0].text == TEXT
    assert [(block.name, block.input) for block in message.content[1:]] == [
        ("read_file", {"path": "app.py"}),
        ("list_files", {}),
    ]
    assert message.stop_reason == "tool_use"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 1


async def test_messages(claude: Any) -> None:
    messages = [{"role": "user", "content": "Ticket"}]
    check_message(await claude.messages.create(model="claude-opus-4-6", max_tokens=100, messages=messages))


async def test_messages_streamed(claude: Any) -> None:
    async with claude.messages.stream(
        model="claude-opus-4-6", max_tokens=100, messages=[{"role": "user", "content": "Ticket"}]
    ) as stream:
        texts = [text async for text in stream.text_stream]
        check_message(await stream.get_final_message())
    assert "".join(texts) == TEXT
    assert len(texts) > 1


async def test_a_departure_is_an_error_of_the_request(stage: Any, gpt: Any, claude: Any) -> None:
    stage.script("version: 1\nstages: {prd: [{expect: nothing like it, text: never}]}")
    with pytest.raises(openai.UnprocessableEntityError, match="prd, attempt 1, turn 1"):
        await gpt.responses.create(model="gpt-5.3-codex", input="Ticket")
    with pytest.raises(anthropic.UnprocessableEntityError, match="nothing like it"):
        await claude.messages.create(
            model="claude-opus-4-6", max_tokens=9, messages=[{"role": "user", "content": "Ticket"}]
        )
