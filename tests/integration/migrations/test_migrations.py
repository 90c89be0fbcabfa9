"""P6 with a real schema: migrations are made around the release, and once one is made the run only goes forward."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest
from tests.integration.migrations import conftest
from tests.integration.migrations.conftest import ALL, MigrationHarness

from phasegate.flows.runs.reversibility import require_reversible
from phasegate.flows.views.artifact_types import markdown
from phasegate.flows.views.report import report
from phasegate.infra.errors import NotAllowed
from phasegate.infra.ledger import Run

shop = conftest.shop

MADE = [("merge", "done"), ("expand", "done"), ("candidate", "done"), ("migrate", "done"), ("cut-over", "done")]
OLD, NEW = "Ana", "Good day, Ana"


def reason(run: Run) -> dict[str, Any]:
    assert run.reason is not None
    return run.reason


async def test_a_release_is_migrated_around_its_start_and_its_cut_over_and_contracted_at_its_end(
    shop: MigrationHarness,
) -> None:
    """Untried mutations: `contract` before `monitor`; `migrate` after the cut-over."""
    shop.write()
    run = await shop.released()
    assert run.status == "done", run.reason
    assert shop.effects(run) == [*MADE, ("contract", "done")]
    calls = shop.calls()
    assert [(call["action"], call["before"], call["after"]) for call in calls] == [
        ("expand", OLD, OLD),
        ("migrate", OLD, OLD),
        ("contract", NEW, NEW),
    ]
    assert (shop.columns(), shop.answer(), await shop.serves(run)) == (["greeting"], NEW, run.id)
    effects = {effect.kind: effect for effect in shop.effects_of(run)}
    for call in calls:
        files = call["files"]
        releases = shop.house.shared.settings.services / call["service"] / "releases"
        assert call["cwd"] == files == str(releases / f"{run.id}.migrations" / "source")
        assert (call["release_id"], call["commit"]) == (run.id, effects["cut-over"].intent["commit"])
        assert (call["migration"], call["migration_class"]) == (f"{call['action']} people", call["action"])
        assert call["migration_files"] == f"migrations/{call['action']}.sql"
        assert call["key"] == effects[call["action"]].key
    said = (effects["migrate"].result or {})["said"]
    assert "made with" in said
    assert "tok-5kq0c3v9xz81" not in str([effect.result for effect in effects.values()])
    shop.house.ledger.audit(run.id)


async def test_the_gate_shows_each_migration_with_what_it_means_for_going_back(shop: MigrationHarness) -> None:
    shop.write(commands=("expand", "migrate"))
    run = await shop.released()
    plan = report(shop.house.ledger, run.id).latest("release-plan")
    assert plan is not None
    page = markdown(plan.kind, plan.content)
    assert "Once `migrate` is made there is no way back" in page
    made = "`python3 -I migrate.py`"
    assert [line for line in page.splitlines() if line.startswith("| `")] == [
        f"| `{name}` | {name} people | {made_by} | {going_back} |"
        for name, made_by, going_back in (
            ("expand", f"{made}, before the candidate starts", "yes; the schema stays expanded"),
            ("migrate", f"{made}, before the cut-over", "no: from then on only forward"),
            (
                "contract",
                "**nobody**: policy has no command that is run",
                "not held back: phasegate does not know when it is made",
            ),
        )
    ]
    assert [line for line in page.splitlines() if line.startswith("- `")] == [
        f"- `{name}`: `migrations/{name}.sql`" for name in ALL
    ]
    assert run.status == "done"
    assert shop.columns() == ["name", "greeting"]
    steps = [event.payload["text"] for event in shop.house.ledger.events(run.id, kinds=("stage.step",))]
    assert "nobody makes contract migration 'contract people': there is no command" in steps


async def test_a_plan_that_says_nothing_of_a_migration_goes_back_to_the_agent(shop: MigrationHarness) -> None:
    """Untried mutation: `Toolbox._finish` without the objection."""
    told = "not accepted: policy counts these files of the change as migrations.*migrations/expand.sql"
    none = [{"file": "migrations/expand.sql", "reason": "it was made by hand last week"}]
    turns = [
        {"expect": "migrations/expand.sql\nMade, once approved:\n- expand: by nobody", "finish": {"summary": "A."}},
        {"expect": told, "finish": {"summary": "B.", "migrations": [{"name": "it", "class": "expand"}]}},
        {"expect": told, "finish": {"summary": "C.", "no_migrations": none}},
    ]
    shop.write(("expand",), commands=(), files={"expand": "ALTER TABLE people DROP COLUMN name"}, deployment=turns)
    run = await shop.released()
    plan = report(shop.house.ledger, run.id).latest("release-plan")
    assert plan is not None, run.reason
    page = markdown(plan.kind, plan.content)
    assert "### Migrations by policy, which migrate nothing as the agent says" in page
    assert "- `migrations/expand.sql`: it was made by hand last week" in page


async def test_an_agent_that_never_says_it_is_stopped(shop: MigrationHarness) -> None:
    shop.write(("expand",), deployment=[{"finish": {"summary": f"Plan {number}."}} for number in range(9)])
    run = await shop.released()
    assert (run.status, reason(run)["code"]) == ("needs-operator", "agent-stopped")


async def test_a_file_that_says_more_than_its_class_is_shown(shop: MigrationHarness) -> None:
    shop.write(("expand",), files={"expand": "-- we drop column later\nALTER TABLE people DROP COLUMN name"})
    run = await shop.released()
    plan = report(shop.house.ledger, run.id).latest("release-plan")
    assert plan is not None
    assert "- `migrations/expand.sql`, line 2, is of class `expand`: `ALTER TABLE people DROP COLUMN name`" in markdown(
        plan.kind, plan.content
    )


async def test_before_a_pivot_a_release_that_does_not_hold_goes_back_and_the_schema_stays_expanded(
    shop: MigrationHarness,
) -> None:
    """Untried mutation: `ExpandPerformer` of class pivot."""
    shop.write(("expand",))
    (shop.data / "broken").touch()
    run = await shop.released()
    assert (run.status, await shop.serves(run)) == ("rolled-back", "before")
    effects = {effect.kind: effect for effect in shop.effects_of(run)}
    assert {effect.status for effect in effects.values()} == {"undone"}
    assert effects["expand"].undo_result == {"left": "the schema stays expanded"}
    assert shop.columns() == ["name", "greeting"]


async def test_past_a_pivot_a_release_that_does_not_hold_serves_on_until_a_person_says_go(
    shop: MigrationHarness,
) -> None:
    """Untried mutations: `roll_back` without the pivots; `_let_go_on` never."""
    shop.write()
    (shop.data / "broken").touch()
    run = await shop.released()
    said = reason(run)
    assert (run.status, said["code"]) == ("needs-operator", "past-pivot")
    assert said["message"].startswith("The release failed its health checks: errors: ")
    assert (
        "Migrate migration 'migrate people' is made and cannot be undone. So nothing of this run is undone: it only "
        f"goes forward. Release {run.id} serves on; release before, which served before, may not work with what is "
        "stored now."
    ) in said["message"]
    assert said["remedy"] == (
        "Mend what is wrong, by a ticket of its own with `phasegate run TICKET` or by hand. "
        f"`phasegate resume {run.id}` then measures the release again, and goes on if it holds."
    )
    assert (shop.effects(run), await shop.serves(run)) == (MADE, run.id)
    assert report(shop.house.ledger, run.id).latest("incident") is not None

    with pytest.raises(NotAllowed, match=r"there is no rollback of run .*'migrate people' is made and cannot"):
        require_reversible(shop.house.ledger, run.id, "rollback")
    run = await shop.asked(run, "rollback")
    assert (run.status, shop.effects(run)) == ("needs-operator", MADE)

    run = await shop.resumed(run)
    assert (run.status, reason(run)["code"]) == ("needs-operator", "past-pivot"), "still broken: asks again"
    (shop.data / "broken").unlink()
    run = await shop.resumed(run)
    assert run.status == "done", run.reason
    assert (shop.effects(run), shop.answer()) == ([*MADE, ("contract", "done")], NEW)
    shop.house.ledger.audit(run.id)


async def test_a_cut_over_that_fails_after_a_pivot_leaves_the_release_before_serving(shop: MigrationHarness) -> None:
    shop.write()
    crash = shop.data / f"greeting crashes on {shop.port}"
    crash.touch()
    run = await shop.released()
    said = reason(run)
    assert (run.status, said["code"]) == ("needs-operator", "past-pivot")
    assert "did not come up as service" in said["message"]
    assert "release before serves as before, on what is stored now" in said["message"].lower()
    assert said["remedy"].endswith(f"`phasegate resume {run.id}` then goes on with the release from where it stopped.")
    assert (shop.effects(run), shop.answer()) == ([*MADE[:4], ("cut-over", "intended")], OLD)
    crash.unlink()
    run = await shop.resumed(run)
    assert (run.status, shop.answer()) == ("done", NEW)
    assert shop.effects(run) == [*MADE, ("contract", "done")]


async def test_a_migration_that_fails_stops_the_run_with_its_output_and_is_run_again(shop: MigrationHarness) -> None:
    shop.write(files={"migrate": "UPDATE nobody SET x = 1"})
    run = await shop.released()
    said = reason(run)
    assert (run.status, said["code"]) == ("needs-operator", "migration")
    assert "migrate migration 'migrate people' was not made: it exited with code 1" in said["message"]
    assert "no such table: nobody" in said["message"]
    assert f"{run.id}.migrations/log" in said["remedy"]
    assert shop.effects(run)[-1] == ("migrate", "intended")
    assert shop.answer() == OLD
    with closing(shop.database()) as database, database:
        database.execute("CREATE TABLE nobody (x)")
    run = await shop.resumed(run)
    assert run.status == "needs-operator", "the new code finds no greeting"
    assert [call["action"] for call in shop.calls()] == ["expand", "migrate"]


@pytest.mark.parametrize("status", [True, False], ids=["told", "untold"])
async def test_one_that_failed_holds_a_rollback_back_unless_status_says_that_nothing_was_made(
    shop: MigrationHarness, status: bool
) -> None:
    """Untried mutations: `_maybe_made` takes all for made; takes none for made."""
    shop.write(commands=(*ALL, *(["status"] if status else [])), files={"migrate": "UPDATE nobody SET x = 1"})
    run = await shop.asked(await shop.released(), "rollback")
    assert await shop.serves(run) == "before"
    if status:
        assert run.status == "rolled-back"
        assert {status for _, status in shop.effects(run)} == {"undone"}
    else:
        assert (run.status, reason(run)["code"]) == ("needs-operator", "past-pivot")
        assert "'migrate people' is begun, and nobody can say how far it got" in reason(run)["message"]
        assert shop.effects(run) == [*MADE[:3], ("migrate", "intended")]


async def test_a_migration_is_not_cut_off_by_a_person_who_wants_the_run_to_end(shop: MigrationHarness) -> None:
    """Untried mutation: `perform` without `_to_its_end`."""
    shop.write()
    (shop.data / "slow migrate").touch()
    run = await shop.serving()
    carrying = asyncio.create_task(shop.house.carry(run))
    async with asyncio.timeout(60):
        while not (shop.data / "begun").exists():  # noqa: ASYNC110  a command sends no event
            await asyncio.sleep(0.05)
    shop.house.ledger.runs.ask(run.id, "cancel", actor="ana")
    run = await carrying
    assert (run.status, reason(run)["code"]) == ("needs-operator", "past-pivot")
    assert reason(run)["message"].startswith(
        "Cancelled on a person's request. Migrate migration 'migrate people' is made"
    )
    assert [call["action"] for call in shop.calls()] == ["expand", "migrate"]
    assert shop.effects(run) == MADE[:4]
    assert await shop.serves(run) == "before"
