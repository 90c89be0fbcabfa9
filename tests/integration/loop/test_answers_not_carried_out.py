"""Answers that are cut, refused or odd as a whole, in all three protocols, through the real clients.

Mutations tried: the rules of `answer_rules` turned off one by one; `finish` taken first or last; every word counted as
whole; a refused answer sent back; the count of cuts kept over a whole answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast, get_args

import pytest
import pytest_asyncio
from tests.support.agent_loop import AgentHarness
from tests.support.model_answers import CUT, FILTERED, Answer, Call, ModelStub, ProtocolName, serving

from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.loop import answer_rules
from phasegate.infra.errors import AgentStopped, ModelDeclined

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
DONE = '{"summary": "done"}'
WHOLE = Answer(calls=[("c9", "finish", DONE)])


def write(call_id: str, path: str = "new.py", content: str = "x = 1\n") -> Call:
    return call_id, "write_file", json.dumps({"path": path, "content": content})


@pytest_asyncio.fixture
async def stub(office: AgentHarness) -> AsyncIterator[ModelStub]:
    """The provider of the office's agent."""
    async with serving(ModelStub()) as stub:
        office.provider = stub.url
        yield stub


async def work(office: AgentHarness, protocol: ProtocolName, stub: ModelStub, *answers: Answer) -> ChangeDraft | None:
    stub.says("m", *answers)
    return await office.work(f"{protocol}:m")


def outputs(office: AgentHarness) -> list[str]:
    """Outputs of the calls, in order."""
    turns = office.ledger.turns.list(office.attempt.id)
    tools = [entry["said"] for turn in turns for entry in turn.left["after"] if entry["said"]["role"] == "tools"]
    return [result["output"] for message in tools for result in message["results"]]


CUT_ANSWERS: dict[str, Any] = {
    "a whole write of half a file": {"calls": [write("c1")]},
    "a whole finish": {"calls": [("c1", "finish", DONE)]},
    "two calls, the second cut": {"calls": [write("c1"), ("c2", "write_file", '{"path": "b.py", "cont')]},
    "a call without its name yet": {"calls": [("c1", "", "")]},
    "text alone": {"text": "First I will"},
    "reasoning alone": {"thinking": "Hm"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", CUT_ANSWERS)
async def test_of_a_cut_answer_nothing_is_carried_out_and_the_model_is_told(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName, case: str
) -> None:
    answer = Answer(stop=CUT[protocol], **CUT_ANSWERS[case])
    assert await work(office, protocol, stub, answer, WHOLE) == ChangeDraft(summary="done")
    assert sorted(path.name for path in office.workspace.folder.iterdir() if path.suffix == ".py") == ["app.py"]
    second = json.dumps(stub.asked[1][1])
    assert f"your answer was cut off ({CUT[protocol]})" in second
    assert "smaller pieces" in second
    answered = [event for event in office.ledger.events("run-one") if event.kind == "turn.answered"]
    assert answered[0].payload["stop"] == f"cut: {CUT[protocol]}"
    assert "stop" not in answered[1].payload


ODD_WORDS: dict[ProtocolName, list[str | None]] = {
    "openai": ["max_tokens", "something new", None],
    "anthropic": ["pause_turn", "model_context_window_exceeded", "compaction", None],
    "compatible": ["model_length", "repetition", "pause"],
}


@pytest.mark.parametrize(("protocol", "word"), [(name, word) for name, words in ODD_WORDS.items() for word in words])
async def test_a_word_that_nobody_knows_and_none_at_all_count_as_cut(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName, word: str | None
) -> None:
    answer = Answer(calls=[("c1", "finish", DONE)], stop=word)
    assert await work(office, protocol, stub, answer, WHOLE) == ChangeDraft(summary="done")
    assert len(stub.asked) == 2


@pytest.mark.parametrize("word", ["STOP", "eos", "end_turn", "tool_use"])
async def test_local_servers_have_other_words_for_a_whole_answer(
    office: AgentHarness, stub: ModelStub, word: str
) -> None:
    answer = Answer(calls=[("c1", "finish", DONE)], stop=word)
    assert await work(office, "compatible", stub, answer) == ChangeDraft(summary="done")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_two_cut_answers_in_a_row_stop_the_agent_and_a_person_may_let_it_go_on(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName
) -> None:
    cut = Answer(calls=[write("c1")], stop=CUT[protocol])
    look = Answer(calls=[("c3", "read_file", '{"path": "app.py"}')])
    with pytest.raises(AgentStopped, match=rf"2 answers of {protocol}:m in a row were cut off \({CUT[protocol]}\)"):
        await work(office, protocol, stub, cut, look, cut, cut)
    assert len(stub.asked) == 4  # one cut answer between whole ones stops nothing
    assert await work(office, protocol, stub, cut, WHOLE) == ChangeDraft(summary="done")
    office.ledger.audit("run-one")


REFUSALS: dict[str, Any] = {
    "nothing": {},
    "reasoning alone": {"thinking": "I must not."},
    "a text": {"text": "I cannot help with that."},
    "a call": {"calls": [write("c1")]},
    "a whole finish": {"calls": [("c1", "finish", DONE)]},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_stops_at_once_names_model_and_reason_and_costs_one_turn(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName, case: str
) -> None:
    answer = Answer(stop=FILTERED[protocol], **REFUSALS[case])
    with pytest.raises(ModelDeclined, match=rf"^{protocol}:m refused to answer \({FILTERED[protocol]}\)") as caught:
        await work(office, protocol, stub, answer)
    assert REFUSALS[case].get("text", "") in caught.value.message
    assert "fallback" in caught.value.remedy
    assert "--model" in caught.value.remedy
    assert "steer" in caught.value.remedy
    assert office.ledger.exchanges.usage("run-one").turns == len(stub.asked) == 1
    assert not (office.workspace.folder / "new.py").exists()
    # A person asks in other words. The refused answer is not sent back, for the next would be refused, too.
    office.ledger.messages.queue("run-one", "only the harmless part", sender="ana")
    assert await work(office, protocol, stub, WHOLE) == ChangeDraft(summary="done")
    second = stub.asked[1][1]
    assert "only the harmless part" in json.dumps(second)
    assert ids_called(protocol, second) == []
    assert not [item for item in items(protocol, second) if item.get("role") == "assistant"]
    office.ledger.audit("run-one")


@pytest.mark.parametrize("protocol", ["openai", "compatible"])
async def test_a_refusal_in_its_own_field_is_one_whatever_the_stop_reason(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName
) -> None:
    answer = Answer(refusal="I must not.", calls=[("c1", "finish", DONE)])
    with pytest.raises(ModelDeclined, match=r"\(refusal\): I must not\."):
        await work(office, protocol, stub, answer)
    assert len(stub.asked) == 1


FINISH_CALL = ("f", "finish", DONE)
REFUSED_SETS: dict[str, tuple[list[Call], str]] = {
    "calls after finish": ([FINISH_CALL, write("c1")], "must be the last call"),
    "two finish": ([FINISH_CALL, ("g", "finish", '{"summary": "again"}')], "must be the last call"),
    "finish in the middle": ([write("c1"), FINISH_CALL, write("c2", "b.py")], "must be the last call"),
    "too many": ([write(f"c{n}", f"n{n}.py") for n in range(answer_rules.MOST_CALLS + 1)], "65 calls"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", REFUSED_SETS)
async def test_of_an_odd_set_of_calls_nothing_is_carried_out(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName, case: str
) -> None:
    calls, why = REFUSED_SETS[case]
    assert await work(office, protocol, stub, Answer(calls=calls), WHOLE) == ChangeDraft(summary="done")
    assert [path.name for path in office.workspace.folder.glob("*.py")] == ["app.py"]
    assert len(outputs(office)) == len(calls) + 1
    assert all(output.startswith("not carried out: ") and why in output for output in outputs(office)[:-1])
    assert ids_answered(protocol, stub.asked[1][1]) == [call_id for call_id, *_ in calls]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_finish_after_other_calls_hands_in_what_they_did(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName
) -> None:
    answer = Answer(calls=[write("c1"), FINISH_CALL])
    assert await work(office, protocol, stub, answer) == ChangeDraft(summary="done")
    assert (office.workspace.folder / "new.py").exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_sixty_calls_are_carried_out_in_their_order(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName
) -> None:
    calls = [write(f"c{n}", content=f"{n}\n") for n in range(60)]
    assert await work(office, protocol, stub, Answer(calls=calls), WHOLE) == ChangeDraft(summary="done")
    assert (office.workspace.folder / "new.py").read_text() == "59\n"


ODD_CALLS: dict[str, list[Call]] = {
    "ids given twice": [write("same", "a.py"), write("same", "b.py")],
    "no ids": [write("", "a.py"), write("", "b.py")],
    "ids that no provider takes back": [write("a b", "a.py"), write("é" * 90, "b.py")],
    "a call without a name": [write("c1", "a.py"), ("c2", "", "{}"), write("c3", "b.py")],
    "a name that is none": [write("c1", "a.py"), ("c2", "write file!" * 20, "{}"), write("c3", "b.py")],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", ODD_CALLS)
async def test_odd_ids_and_names_are_repaired_and_the_other_calls_carried_out(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName, case: str
) -> None:
    assert await work(office, protocol, stub, Answer(calls=ODD_CALLS[case]), WHOLE) == ChangeDraft(summary="done")
    assert sorted(path.name for path in office.workspace.folder.glob("?.py")) == ["a.py", "b.py"]
    called, answered = ids_called(protocol, stub.asked[1][1]), ids_answered(protocol, stub.asked[1][1])
    assert called == answered
    assert len(set(called)) == len(ODD_CALLS[case])
    assert all(0 < len(call_id) <= 64 and call_id.isascii() and " " not in call_id for call_id in called)


def items(protocol: ProtocolName, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a request's conversation, blocks of messages included."""
    listed = cast("list[dict[str, Any]]", document["input" if protocol == "openai" else "messages"])
    blocks = [block for item in listed if isinstance(item.get("content"), list) for block in item["content"]]
    return [*listed, *blocks]


def ids_called(protocol: ProtocolName, document: dict[str, Any]) -> list[str]:
    """The ids of the calls that a request repeats."""
    match protocol:
        case "openai":
            return [item["call_id"] for item in items(protocol, document) if item.get("type") == "function_call"]
        case "anthropic":
            return [item["id"] for item in items(protocol, document) if item.get("type") == "tool_use"]
        case "compatible":
            return [call["id"] for item in items(protocol, document) for call in item.get("tool_calls", [])]


def ids_answered(protocol: ProtocolName, document: dict[str, Any]) -> list[str]:
    """The ids of the calls whose results a request brings."""
    key = {"openai": "call_id", "anthropic": "tool_use_id", "compatible": "tool_call_id"}[protocol]
    kinds = {"function_call_output", "tool_result"}
    listed = items(protocol, document)
    return [item[key] for item in listed if key in item and (item.get("type") in kinds or item.get("role") == "tool")]
