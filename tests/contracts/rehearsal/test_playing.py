"""A script is played turn by turn, over every protocol, to the real clients."""

from __future__ import annotations

from typing import Any

import pytest

from phasegate.infra.errors import RehearsalDeparted

pytestmark = pytest.mark.asyncio(loop_scope="module")

FINISHED = {"title": "Greeting", "criteria": [{"id": "AC1", "statement": "It greets.\nTwice."}]}


async def test_a_whole_stage(stage: Any, name: str) -> None:
    talk = stage.talk(name)
    talk.user("Ticket: greet people.")
    first = await talk.turn()
    assert first.message["text"].startswith("First I read")
    assert [(call["id"], call["name"], call["args"]) for call in first.message["calls"]] == [
        ("call_prd_1_1_0", "read_file", {"path": "app.py"}),
        ("call_prd_1_1_1", "list_files", {}),
    ]
    assert first.stop_reason == "calls"
    assert first.usage.input_tokens == len(first.request) // 4
    assert first.usage.output_tokens > 0
    talk.results(first, "def greet(): ...")
    second = await talk.turn()
    assert (second.message["text"], second.message["calls"], second.stop_reason) == ("Ümläute sind drin.", [], "end")
    talk.user("go on")
    third = await talk.turn()
    assert [(call["name"], call["args"]) for call in third.message["calls"]] == [("finish", FINISHED)]


async def test_a_repeated_request_gets_the_same_answer(stage: Any, name: str) -> None:
    talk = stage.talk(name)
    talk.user("Ticket")
    first = await talk.turn()
    talk.said.pop()
    again = await talk.turn()
    assert (first.request, first.response) == (again.request, again.response)


async def test_the_turn_is_where_the_model_left_off_in_whatever_protocol(stage: Any, name: str) -> None:
    talk = stage.talk("openai:gpt-5.3-codex")
    talk.user("Ticket")
    talk.results(await talk.turn(), "def greet(): ...")
    other = stage.talk(name)
    other.said = talk.said
    assert (await other.turn()).message["text"] == "Ümläute sind drin."


async def test_a_steer_beside_the_results_is_news_too(stage: Any, name: str) -> None:
    talk = stage.talk(name)
    talk.user("Ticket")
    talk.results(await talk.turn(), "nothing")
    talk.user("by the way, def greet() is there")
    assert (await talk.turn()).message["text"] == "Ümläute sind drin."


async def test_the_first_turn_is_matched_with_instructions_and_all(stage: Any, name: str) -> None:
    stage.script("version: 1\nstages: {prd: [{expect: '(?s)You write the PRD.*Ticket', text: good}]}")
    talk = stage.talk(name)
    talk.user("Ticket")
    assert (await talk.turn()).message["text"] == "good"


async def test_an_attempt_with_turns_of_its_own(stage: Any, name: str) -> None:
    stage.script("version: 1\nstages: {prd: [{text: any}], 'prd#2': [{text: second}]}")
    said = []
    for attempt in (1, 2, 3):
        talk = stage.talk(name, attempt=attempt)
        talk.user("Ticket")
        said.append((await talk.turn()).message["text"])
    assert said == ["any", "second", "any"]


async def test_departing_from_what_is_expected(stage: Any, name: str) -> None:
    talk = stage.talk(name)
    talk.user("Ticket: def greet()")
    talk.results(await talk.turn(), "x" * 1000)
    with pytest.raises(RehearsalDeparted) as caught:
        await talk.turn()
    message = caught.value.message
    assert "prd, attempt 1, turn 2" in message
    assert r"/def greet\(\)/" in message
    assert "x" * 400 in message
    assert "x" * 401 not in message
    assert caught.value.context == {"stage": "prd", "turn": 2}


async def test_more_turns_than_the_script_has(stage: Any, name: str) -> None:
    stage.script("version: 1\nstages: {prd: [{text: only this}]}")
    talk = stage.talk(name)
    talk.user("Ticket")
    await talk.turn()
    talk.user("and then?")
    with pytest.raises(RehearsalDeparted, match="prd, attempt 1, turn 2: the script ends after 1 turn"):
        await talk.turn()


async def test_a_stage_the_script_does_not_have(stage: Any, name: str) -> None:
    with pytest.raises(RehearsalDeparted, match="monitoring, attempt 1, turn 1: the script has no turns"):
        await stage.talk(name, stage="monitoring").turn()


async def test_a_run_nobody_knows(stage: Any, name: str) -> None:
    with pytest.raises(RehearsalDeparted, match="There is no run nobody ü"):
        await stage.talk(name, run="nobody ü").turn()


async def test_what_is_no_request(stage: Any) -> None:
    for path in ("responses", "chat/completions", "messages"):
        for body in (b"", b"[]", b'{"model": 1}', b'{"model": "m"}'):
            response = await stage.http.post(f"{stage.url()}/v1/{path}", content=body)
            assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
