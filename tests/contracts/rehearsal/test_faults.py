"""Each scripted fault is survived by the real clients, and the scripted answer follows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasegate.agents.rehearsal.script_file import read_script
from phasegate.agents.rehearsal.server import RehearsalServer
from phasegate.infra.errors import ModelUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """
version: 1
stages:
  prd:
    - text: A text that is long enough to be cut in the middle.
      tools: [{{name: read_file, args: {{path: app.py, lines: [1, 2, 3]}}}}, {{name: list_files}}]
    - expect: '^ok\\n'
      finish: {{title: Greeting}}
faults: {faults}
"""


@pytest.mark.parametrize("kind", ["http_429", "http_500", "cut_stream"])
async def test_survived_within_one_send(kind: str, stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults=f"[{{stage: prd, turn: 1, kind: {kind}, times: 4}}]"))
    talk = stage.talk(name)
    talk.user("Ticket")
    assert (await talk.turn()).message["text"].startswith("A text that is long")


@pytest.mark.parametrize("kind", ["http_429", "http_500", "cut_stream"])
async def test_too_often_is_reported(kind: str, stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults=f"[{{stage: prd, turn: 1, kind: {kind}, times: 5}}]"))
    talk = stage.talk(name)
    talk.user("Ticket")
    with pytest.raises(ModelUnavailable, match=r"5 tries"):
        await talk.turn()
    assert (await talk.turn()).message["calls"]


async def test_each_attempt_has_its_faults(stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults="[{stage: prd, turn: 1, kind: http_500, times: 5}]"))
    for attempt in (1, 2):
        with pytest.raises(ModelUnavailable):
            await stage.talk(name, attempt=attempt).turn()
    stage.script(SCRIPT.format(faults="[{stage: 'prd#4', turn: 1, kind: http_500, times: 5}]"))
    assert await stage.talk(name, attempt=3).turn()
    with pytest.raises(ModelUnavailable):
        await stage.talk(name, attempt=4).turn()


async def test_malformed_calls_are_answers_and_the_scripted_one_follows(stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults="[{stage: prd, turn: 1, kind: malformed_call, times: 2}]"))
    talk = stage.talk(name)
    talk.user("Ticket")
    for _ in range(2):
        malformed = await talk.turn()
        assert [call["args"] for call in malformed.message["calls"]] == [None, {}]
        talk.results(malformed, "these arguments are not JSON", failed=True)
    reply = await talk.turn()
    assert [call["id"] for call in reply.message["calls"]] == ["call_prd_1_1_0", "call_prd_1_1_1"]
    assert reply.message["calls"][0]["args"] == {"path": "app.py", "lines": [1, 2, 3]}
    talk.results(reply, "ok")
    assert (await talk.turn()).message["calls"][0]["name"] == "finish"
    ids = [call["id"] for message in talk.said for call in message.get("calls", [])]
    assert len(ids) == len(set(ids))


async def test_a_malformed_finish_is_matched_with_what_came_before_it(stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults="[{stage: prd, turn: 2, kind: malformed_call}]"))
    talk = stage.talk(name)
    talk.user("Ticket")
    talk.results(await talk.turn(), "ok")
    malformed = await talk.turn()
    assert malformed.message["calls"][0]["args"] is None
    talk.results(malformed, "not JSON", failed=True)
    assert (await talk.turn()).message["calls"][0]["args"] == {"title": "Greeting"}


async def test_a_malformed_call_is_the_same_again_after_a_restart(stage: Any, name: str) -> None:
    script = read_script(SCRIPT.format(faults="[{stage: prd, turn: 1, kind: malformed_call}]"), "script.yaml")
    replies = []
    for _ in range(2):
        async with RehearsalServer(lambda run: script) as server:
            stage.server = server
            talk = stage.talk(name)
            talk.user("Ticket")
            replies.append(await talk.turn())
    assert replies[0].response == replies[1].response
    assert replies[0].message["calls"][0]["args"] is None


async def test_a_slow_stream_rests_half_way_and_can_be_left(stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults="[{stage: prd, turn: 1, kind: slow, seconds: 300}]"))
    talk, heard = stage.talk(name), asyncio.Event()
    body = talk.client.conversation("Be brief.", [], "thread").body()
    sending = asyncio.create_task(talk.client.send(body, on_text=lambda text: heard.set()))
    async with asyncio.timeout(10):
        await heard.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await talk.turn()).message["calls"]


async def test_a_short_rest_is_waited_for(stage: Any, name: str) -> None:
    stage.script(SCRIPT.format(faults="[{stage: prd, turn: 1, kind: slow, seconds: 0.05}]"))
    reply = await stage.talk(name).turn()
    assert reply.message["calls"]
    assert reply.latency_seconds >= 0.05


async def test_faults_take_turns_in_their_order(stage: Any, name: str) -> None:
    faults = "[{stage: prd, turn: 1, kind: http_429}, {stage: prd, turn: 1, kind: malformed_call}]"
    stage.script(SCRIPT.format(faults=faults))
    talk = stage.talk(name)
    talk.user("Ticket")
    malformed = await talk.turn()
    assert malformed.message["calls"][0]["args"] is None
