"""P12 for money and for time: asked before the call that could break it, by run, by stage and by day."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.crash.scenes import REQUESTER, edit
from tests.integration.people.conftest import Office, decide

from phasegate.flows.artifact_types import markdown
from phasegate.flows.intake import Order, kick_off
from phasegate.flows.report import report
from phasegate.infra.ledger import Ledger, Run

Opened = Callable[..., Any]
POLITE = edit("Hello", "Good day")
FINISH = {"finish": {"summary": "polite"}}
TAKES_TIME = {"tools": [{"name": "run", "args": {"command": "sleep 0.4"}}]}
SLOW = [TAKES_TIME, TAKES_TIME, POLITE, FINISH]


def asked(office: Office, run: Run) -> list[dict[str, Any]]:
    """What each gate `budget` of a run asked about."""
    gates = [gate for gate in office.ledger.gates.list(run.id) if gate.gate == "budget"]
    return [office.ledger.artifacts.json(gate.subject["overrun"]) for gate in gates]


@pytest.mark.parametrize(
    ("table", "scope"), [("budget", "run"), ("budget.stages.implementation", "stage"), ("budget.day", "day")]
)
async def test_money_is_held_before_the_call_that_could_break_it(opened: Opened, table: str, scope: str) -> None:
    """Mutations tried: `Expected.of` without the price; `_used` without the cost."""
    budget = 0.006
    async with opened({"implementation": [POLITE, FINISH]}, f"[{table}]\ncost_usd = {budget}\n") as office:
        office.deeds.extend([decide("approve")] * 9)
        done = await office.run()
        assert done.status == "done", done.reason
        assert set(office.waits) == {"budget"}
        for number, one in enumerate(asked(office, done), start=1):
            assert (one["what"], one["scope"]) == ("cost_usd", scope)
            assert one["used"] <= one["allowed"] < one["used"] + one["expected"]
            assert one["grant"] == pytest.approx(budget), number
        spent = report(office.ledger, done.id).usage.cost_usd
        assert spent is not None
        assert 0 < spent <= budget * (1 + len(office.waits))
        page = markdown("overrun", asked(office, done)[0])
        assert "The budget of US dollars for" in page
        assert f"an approval grants **${budget:.2f}** more" in page
        office.ledger.audit(done.id)


@pytest.mark.parametrize(("table", "scope"), [("budget", "run"), ("budget.stages.implementation", "stage")])
async def test_working_time_is_held_and_the_time_a_person_thinks_is_not_counted(
    opened: Opened, table: str, scope: str
) -> None:
    """Mutation tried: `_WorkingTime` counts from the last event to an attempt begun again: thinking is charged."""

    def think_then_approve(ledger: Ledger, run_id: str) -> object:
        time.sleep(1.0)  # a person thinks; longer than all of the budget
        return decide("approve")(ledger, run_id)

    async with opened({"implementation": SLOW}, f'[{table}]\nwall_clock = "700ms"\n') as office:
        office.deeds.append(think_then_approve)
        done = await office.run()
        assert done.status == "done", done.reason
        (one,) = asked(office, done)
        assert (one["what"], one["scope"], one["allowed"], one["grant"]) == ("wall_clock", scope, 0.7, 0.7)
        assert 0.7 <= one["used"] < 1.4
        assert "The budget of agents' working time for" in markdown("overrun", one)


async def test_a_day_is_one_budget_for_all_runs_of_a_repository(opened: Opened) -> None:
    """Mutation tried: `usage_since` of the run alone."""
    async with opened({"implementation": [POLITE, FINISH]}, "[budget.day]\nturns = 4\n") as office:
        first = await office.run()
        assert first.status == "done", first.reason
        assert report(office.ledger, first.id).usage.turns == 4
        second = await office.run()
        assert (second.status, office.waits) == ("waiting", ["budget"])
        (one,) = asked(office, second)
        assert (one["scope"], one["used"], one["allowed"]) == ("day", 4, 4)
        assert report(office.ledger, second.id).usage.turns == 0
        office.deeds.append(decide("approve"))
        assert (await office.carry(second)).status == "done"


async def test_of_a_model_without_a_price_the_tokens_are_held_and_the_money_is_said_to_be_unknown(
    opened: Opened,
) -> None:
    policy = '[agents]\nmodel = "openai:gpt-nobody-knows"\n[budget]\ncost_usd = 0.000001\ntokens = 4000\n'
    async with opened({}, policy) as office:
        left = await office.run()
        assert office.waits == ["budget"]
        (one,) = asked(office, left)
        assert one["what"] == "tokens"
        usage = report(office.ledger, left.id).usage
        assert (usage.cost_usd, usage.unpriced) == (None, usage.turns)
        assert usage.turns > 0

        order = Order(str(office.folder / "ticket.md"), office.folder / "greeter")
        real = kick_off(
            order,
            ledger=office.ledger,
            settings=office.shared.settings,
            person=REQUESTER,
            environment={"OPENAI_API_KEY": "k"},
            stdin=bytes,
        )
        said = (
            "The price of openai:gpt-nobody-knows is not known: what it costs is not counted; budgets of tokens hold."
        )
        assert said in real.options.notices
