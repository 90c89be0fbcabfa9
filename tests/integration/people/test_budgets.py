"""P12 for money and for time: asked before the call that could break it, by run, by stage and by day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.people.conftest import PeopleHarness, decide
from tests.support.greeter import REQUESTER, edit

from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.flows.views.artifact_types import markdown
from phasegate.flows.views.report import report
from phasegate.infra.ledger import Run

Opened = Callable[..., Any]
POLITE = edit("Hello", "Good day")
FINISH = {"finish": {"summary": "polite"}}
TAKES_TIME = {"tools": [{"name": "run", "args": {"command": "sleep 0.4"}}]}
SLOW = [TAKES_TIME, TAKES_TIME, POLITE, FINISH]


def asked(office: PeopleHarness, run: Run) -> list[dict[str, Any]]:
    """Requests at each gate `budget` of a run."""
    gates = [gate for gate in office.ledger.gates.list(run.id) if gate.gate == "budget"]
    return [office.ledger.artifacts.json(gate.subject["overrun"]) for gate in gates]


@pytest.mark.parametrize(
    ("table", "scope", "budget"),
    [("budget", "run", 0.006), ("budget.stages.implementation", "stage", 0.003), ("budget.day", "day", 0.006)],
)
async def test_money_is_held_before_the_call_that_could_break_it(
    opened: Opened, table: str, scope: str, budget: float
) -> None:
    """Untried mutations: `Expected.of` without the price; `_used` without the cost."""
    async with opened({"implementation": [POLITE, FINISH]}, f"[{table}]\ncost_usd = {budget}\n") as office:
        office.deeds.extend([decide("approve")] * 9)
        done = await office.run()
        assert done.status == "done", done.reason
        assert set(office.waits) == {"budget"}
        for one in asked(office, done):
            assert (one["what"], one["scope"]) == ("cost_usd", scope)
            assert one["used"] <= one["allowed"] < one["used"] + one["expected"]
        assert (report(office.ledger, done.id).usage.cost_usd or 0) > 0
        assert "The budget of US dollars for" in markdown("overrun", asked(office, done)[0])
        office.ledger.audit(done.id)


@pytest.mark.parametrize(
    ("table", "scope"), [("budget", "run"), ("budget.stages.implementation", "stage"), ("budget.day", "day")]
)
async def test_working_time_is_held_and_an_approval_grants_more(opened: Opened, table: str, scope: str) -> None:
    """The time of agents depends on the machine. `test_working_time` shows that a person's thinking does not count."""
    async with opened({"implementation": SLOW}, f'[{table}]\nwall_clock = "300ms"\n') as office:
        office.deeds.extend([decide("approve")] * 99)
        done = await office.run()
        assert done.status == "done", done.reason
        assert set(office.waits) == {"budget"}
        for one in asked(office, done):
            assert (one["what"], one["scope"]) == ("wall_clock", scope)
            assert one["used"] >= one["allowed"]
        assert "The budget of agents' working time for" in markdown("overrun", asked(office, done)[0])


async def test_a_day_is_one_budget_for_all_runs_of_a_repository(opened: Opened) -> None:
    """Untried mutation: `usage_since` of the run alone."""
    async with opened({"implementation": [POLITE, FINISH]}, "[budget.day]\nturns = 5\n") as office:
        first = await office.run()
        assert first.status == "done", first.reason
        assert report(office.ledger, first.id).usage.turns == 5
        script = office.folder / "script.yaml"  # the first run's sealed tests are merged: others need another name
        script.write_text(script.read_text().replace("tests/polite", "tests/again_polite"))
        second = await office.run()
        assert (second.status, office.waits) == ("waiting", ["budget"])
        (one,) = asked(office, second)
        assert (one["scope"], one["used"], one["allowed"]) == ("day", 5, 5)
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

        request = KickoffRequest(str(office.folder / "ticket.md"), office.folder / "greeter")
        real = kick_off(
            request,
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
