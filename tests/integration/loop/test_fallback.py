"""Fallback models: the next one takes over in the same turn, across protocols, on record, and again after a crash.

Mutations tried: the event left out; reasoning of the model before sent on; ids of calls not renamed; prices and budgets
by the attempt's own model; the first model asked again after a crash; the last one kept after a person resumed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
import pytest_asyncio
from tests.integration.loop.test_answers_not_carried_out import DONE, WHOLE, ids_answered, ids_called, write
from tests.support.agent_loop import AgentHarness
from tests.support.model_answers import CUT, FILTERED, Answer, ModelStub, ProtocolName, Refused, serving

from phasegate.agents.implementation import ChangeDraft
from phasegate.agents.loop import working_model
from phasegate.infra.errors import (
    BudgetExceeded,
    ModelDeclined,
    ModelKeyMissing,
    ModelLimited,
    ModelRefused,
    ModelUnavailable,
)

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
PAIRS = [(first, second) for first in PROTOCOLS for second in PROTOCOLS]
DOWN = [Refused(503, {"error": {"message": "busy"}})] * 5
LIMITED = Refused(429, {"error": {"type": "usage_limit_reached", "message": "used up", "resets_in_seconds": 9000}})
UNWILLING = Refused(400, {"error": {"code": "content_filter", "message": "filtered"}})
LOOK = Answer(thinking="Hm", calls=[("call_0", "read_file", '{"path": "app.py"}')])


@pytest_asyncio.fixture
async def stub(office: AgentHarness) -> AsyncIterator[ModelStub]:
    """The provider of all models of the office."""
    async with serving(ModelStub()) as stub:
        office.provider = stub.url
        yield stub


def replaced(office: AgentHarness) -> list[tuple[int, str, str, str]]:
    """Each replaced model on record: turn, model, the one before, code."""
    events = [event.payload for event in office.ledger.events("run-one") if event.kind == "model.replaced"]
    return [(facts["turn"], facts["model"], facts["replaced"], facts["code"]) for facts in events]


def answered_by(office: AgentHarness) -> list[str]:
    return [exchange.model for exchange in office.ledger.exchanges.list("run-one")]


FAILURES: dict[str, tuple[list[Any], str]] = {
    "down": (DOWN, "model-unavailable"),
    "limited": ([LIMITED], "model-limited"),
    "unwilling": ([UNWILLING], "model-declined"),
}


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_the_next_model_takes_over_in_the_same_turn(
    office: AgentHarness, stub: ModelStub, first: ProtocolName, second: ProtocolName, failure: str
) -> None:
    answers, code = FAILURES[failure]
    stub.says("a", LOOK, *answers)
    stub.says("b", Answer(thinking="Aha", calls=[("call_0", *write("")[1:])]), WHOLE)
    office.fallbacks = (f"{second}:b",)
    assert await office.work(f"{first}:a") == ChangeDraft(summary="done")
    assert replaced(office) == [(2, f"{second}:b", f"{first}:a", code)]
    assert answered_by(office) == [f"{first}:a", f"{second}:b", f"{second}:b"]
    assert len(stub.asked_of("a")) == 1 + len(answers)
    requests = stub.asked_of("b")
    assert "x = 1" in json.dumps(requests[0])
    assert "Hm" not in json.dumps(requests[0])
    assert "Make it two." in json.dumps(requests[0])
    # Both models count their calls from zero; what a provider is sent has each id once, and its result.
    called = ids_called(second, requests[1])
    assert called == ids_answered(second, requests[1])
    assert len(set(called)) == len(called) == 2
    office.ledger.audit("run-one")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_refused_answer_costs_a_turn_and_the_next_model_has_the_next_one(
    office: AgentHarness, stub: ModelStub, protocol: ProtocolName
) -> None:
    stub.says("a", Answer(text="I must not.", calls=[write("c1")], stop=FILTERED[protocol]))
    stub.says("b", WHOLE)
    office.fallbacks = ("compatible:b",)
    assert await office.work(f"{protocol}:a") == ChangeDraft(summary="done")
    assert replaced(office) == [(2, "compatible:b", f"{protocol}:a", "model-declined")]
    assert not (office.workspace.folder / "new.py").exists()
    assert "I must not." not in json.dumps(stub.asked_of("b"))
    assert answered_by(office) == [f"{protocol}:a", "compatible:b"]


async def test_each_model_is_asked_once_and_the_last_error_names_them_all(
    office: AgentHarness, stub: ModelStub
) -> None:
    stub.says("a", *DOWN)
    stub.says("b", LIMITED)
    stub.says("c", UNWILLING)
    office.fallbacks = ("anthropic:b", "compatible:c")
    with pytest.raises(ModelDeclined, match=r"compatible:c refused.*before it: openai:a.*; anthropic:b.*until 20"):
        await office.work("openai:a")
    assert [len(stub.asked_of(name)) for name in "abc"] == [5, 1, 1]


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Refused(400, {"error": {"message": "no such tool"}}), ModelRefused), (Refused(401, {}), ModelKeyMissing)],
)
async def test_a_bad_request_and_a_bad_key_are_no_case_for_a_fallback(
    office: AgentHarness, stub: ModelStub, failure: Refused, error: type[Exception]
) -> None:
    stub.says("a", failure)
    office.fallbacks = ("anthropic:b",)
    with pytest.raises(error):
        await office.work("openai:a")
    assert (replaced(office), stub.asked_of("b")) == ([], [])


async def test_cut_answers_are_no_case_for_a_fallback(office: AgentHarness, stub: ModelStub) -> None:
    stub.says("a", Answer(text="I", stop=CUT["openai"]), WHOLE)
    office.fallbacks = ("anthropic:b",)
    assert await office.work("openai:a") == ChangeDraft(summary="done")
    assert replaced(office) == []


async def killed_while_asked(office: AgentHarness, stub: ModelStub, model: str, requests: int) -> None:
    """Kill the agent in the middle of a model's request of this number."""
    working = asyncio.create_task(office.work("openai:a"))
    while len(stub.asked_of(model)) < requests:  # noqa: ASYNC110  the stub has no event to wait for
        await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


@pytest.mark.parametrize("requests", [1, 2])
async def test_the_model_that_took_over_is_asked_again_after_a_crash(
    office: AgentHarness, stub: ModelStub, requests: int
) -> None:
    """Killed in its first turn and in its second."""
    stub.says("a", LOOK, LIMITED)
    stub.says("b", *[LOOK] * (requests - 1))
    stub.holds.add("b")
    office.fallbacks = ("anthropic:b",)
    await killed_while_asked(office, stub, "b", requests)
    stub.holds.clear()
    stub.says("b", WHOLE)
    assert await office.work("openai:a") == ChangeDraft(summary="done")
    assert len(stub.asked_of("a")) == 2
    assert replaced(office) == [(2, "anthropic:b", "openai:a", "model-limited")]
    sent = [json.dumps(document) for document in stub.asked_of("b")]
    assert sent[-1] == sent[-2]
    for turn, exchange in enumerate(office.ledger.exchanges.list("run-one"), 1):
        assert exchange.model.endswith(":a" if turn == 1 else ":b")
        request = office.ledger.exchanges.request(office.attempt.id, turn)
        assert request is not None
        assert json.loads(request)["model"] == exchange.model[-1]
    office.ledger.audit("run-one")


async def test_a_crash_between_a_refused_answer_and_its_record_asks_no_model_twice(
    office: AgentHarness, stub: ModelStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.says("a", Answer(stop=FILTERED["openai"]))
    office.fallbacks = ("anthropic:b",)

    def cut_off(*_given: Any, **_named: Any) -> None:
        raise ConnectionError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(type(office.ledger.turns), "conclude", cut_off)
        with pytest.raises(ConnectionError):
            await office.work("openai:a")
    stub.says("b", WHOLE)
    assert await office.work("openai:a") == ChangeDraft(summary="done")
    assert [len(stub.asked_of(name)) for name in "ab"] == [1, 1]
    assert replaced(office) == [(2, "anthropic:b", "openai:a", "model-declined")]
    office.ledger.audit("run-one")


async def test_an_attempt_that_a_person_resumes_begins_with_its_own_model_again(
    office: AgentHarness, stub: ModelStub
) -> None:
    stub.says("a", LOOK, LIMITED)
    stub.says("b", LOOK, LIMITED)
    office.fallbacks = ("anthropic:b",)
    with pytest.raises(ModelLimited) as caught:
        await office.work("openai:a")
    attempt, lease = office.ledger.attempts.begin(
        "run-one", "implementation", "", 1, inputs={}, model="openai:a", prompt="p", holder="here/1"
    )
    assert lease is not None
    office.ledger.attempts.fail(attempt, lease, caught.value.as_json())
    stub.says("a", WHOLE)
    assert await office.work("openai:a") == ChangeDraft(summary="done")
    assert replaced(office)[1:] == [(3, "openai:a", "anthropic:b", "resumed")]
    assert answered_by(office) == ["openai:a", "anthropic:b", "openai:a"]
    office.ledger.audit("run-one")


async def test_prices_and_budgets_go_by_the_model_that_answers(
    office: AgentHarness, stub: ModelStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost(model: str, _usage: object) -> float:
        return {"openai:a": 1.0, "anthropic:b": 100.0}[str(model)]

    monkeypatch.setattr("phasegate.agents.loop.loop.cost_usd", cost)
    monkeypatch.setattr("phasegate.agents.loop.budget.cost_usd", cost)
    stub.says("a", LOOK, LIMITED)
    stub.says("b", LOOK, WHOLE)
    office.fallbacks = ("anthropic:b",)
    with pytest.raises(BudgetExceeded, match=r"101\.00 USD are used"):
        await office.work("openai:a", cost_usd=150)
    assert [exchange.cost_usd for exchange in office.ledger.exchanges.list("run-one")] == [1.0, 100.0]
    assert await office.work("openai:a", cost_usd=1000) == ChangeDraft(summary="done")
    assert replaced(office) == [(2, "anthropic:b", "openai:a", "model-limited")]


async def test_a_model_with_a_smaller_window_is_sent_less(
    office: AgentHarness, stub: ModelStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs that are left out are the same after a crash."""
    (office.workspace.folder / "app.py").write_text("x = 1\n" * 3000)
    monkeypatch.setattr(working_model, "input_tokens", lambda name: {"a": 10**6, "b": 2000}[name.model])
    stub.says("a", LOOK, Answer(calls=[("c2", "list_files", "{}")]), LIMITED)
    stub.holds.add("b")
    office.fallbacks = ("anthropic:b",)
    await killed_while_asked(office, stub, "b", 1)
    stub.holds.clear()
    stub.says("b", WHOLE)
    assert await office.work("openai:a") == ChangeDraft(summary="done")
    first, second = (json.dumps(document) for document in stub.asked_of("b"))
    assert first == second
    assert "left out to save room" in first
    assert len(first) < len(json.dumps(stub.asked_of("a")[-1])) - 4000


async def test_without_a_fallback_a_model_that_is_down_stops_the_agent(office: AgentHarness, stub: ModelStub) -> None:
    stub.says("a", *DOWN)
    with pytest.raises(ModelUnavailable, match=r"busy \(5 tries\)\n"):
        await office.work("openai:a")
    stub.says("a", Answer(calls=[("c", "finish", DONE)]))
    assert await office.work("openai:a") == ChangeDraft(summary="done")
