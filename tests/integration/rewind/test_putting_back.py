"""A whole run put back and carried to its end again, on SQLite and on Postgres; and where there is no way back."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.scenes import SCENES, write_project
from tests.support.greeter import edit
from tests.support.lifecycle import LifecycleHarness

from phasegate.flows.engine.resources import open_resources
from phasegate.flows.runs.checkpoints import Checkpoint, checkpoints, request_rewind
from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.errors import NotAllowed
from phasegate.infra.ledger import Run
from phasegate.infra.settings import Settings

NOTES = {"tools": [{"name": "write_file", "args": {"path": "notes.md", "content": "as of turn one"}}]}
SPOILT = {"tools": [{"name": "write_file", "args": {"path": "notes.md", "content": "spoilt"}}]}
GATES = ("prd", "change", "release")
FINISH = {"finish": {"summary": "with notes"}}
SCENE = replace(
    SCENES["ships"],
    stages={
        "implementation": [NOTES, SPOILT, edit("Hello", "Good day"), FINISH],
        "implementation#2": [NOTES, edit("Hello", "Good day"), FINISH],
    },
)


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.proof), "postgres"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[LifecycleHarness]:
    """A machine whose ledger and threads are on either database."""
    write_project(tmp_path, SCENE)
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    settings = Settings(home=tmp_path / "home", database_url=url)
    settings.create_folders()
    async with open_resources(settings) as shared:
        house = LifecycleHarness(tmp_path, shared)
        shared.http.event_hooks["request"].append(house.count)
        yield house
        for state in services(settings.home):
            await stop_service(settings.home, state.service)


def shown(house: LifecycleHarness, name: str) -> str:
    """Output of `git show` for a name."""
    top = house.folder / "greeter"
    return subprocess.run(["git", "show", name], cwd=top, check=True, capture_output=True, text=True).stdout


def shown_commit(house: LifecycleHarness, name: str) -> str:
    """The commit that a name stands for."""
    top = house.folder / "greeter"
    return subprocess.run(
        ["git", "rev-parse", name], cwd=top, check=True, capture_output=True, text=True
    ).stdout.strip()


def turn(house: LifecycleHarness, run: Run, number: int) -> Checkpoint:
    return next(one for one in checkpoints(house.ledger, run) if (one.kind, one.turn) == ("turn", number))


async def test_code_conversation_gates_and_effects_go_back_together(house: LifecycleHarness) -> None:
    """P9."""
    done = await house.run()
    assert done.status == "done", done.reason
    first = turn(house, done, 1)
    assert shown(house, f"{first.ref}:notes.md") == "as of turn one"
    assert [shown(house, f"{turn(house, done, number).commit}:notes.md") for number in (1, 2, 3)] == [
        "as of turn one",
        "spoilt",
        "spoilt",
    ]
    house.asked.clear()

    request_rewind(house.ledger, house.ledger.runs.get(done.id), first.id, actor="ana")
    back = await house.carry(done)

    assert back.status == "done", back.reason
    made = [(one.kind, one.status, one.superseded) for one in house.ledger.effects.list(done.id)]
    assert made == [
        *((kind, "undone", 1) for kind in ("merge", "candidate", "cut-over")),
        *((kind, "done", 0) for kind in ("merge", "candidate", "cut-over")),
    ]
    gates = {name: [one.status for one in house.ledger.gates.list(done.id) if one.gate == name] for name in GATES}
    assert gates == {"prd": ["approved"], "change": ["void", "approved"], "release": ["void", "approved"]}
    assert house.turns(done) == {"implementation/2": 2, "deployment.plan/2": 1}
    assert shown(house, "phasegate/main:notes.md") == "as of turn one"
    assert shown(house, f"refs/phasegate/{done.id}/rewound/1/branch:notes.md") == "spoilt"
    again = [item for item in checkpoints(house.ledger, back) if item.kind == "turn" and not item.discarded]
    assert [item.turn for item in again] == [1, 2, 3]
    assert [item.commit for item in again] == [shown_commit(house, item.ref) for item in again]
    decided = [item.what for item in checkpoints(house.ledger, back) if item.kind == "gate"]
    assert decided[0].startswith("prd approve by ")
    house.ledger.audit(done.id)


async def test_a_replay_takes_over_what_was_made_anew_after_a_rewind(house: LifecycleHarness) -> None:
    """P3. Untried mutation: `effect_name` keeps the number that a rewind adds: the replay then merges once more."""
    done = await house.run()
    request_rewind(house.ledger, house.ledger.runs.get(done.id), turn(house, done, 1).id, actor="ana")
    back = await house.carry(done)
    again = await house.again(back, "monitoring")
    assert again.status == "done", again.reason
    assert house.ledger.effects.list(again.id) == []
    adopted = [event.payload["effect"] for event in house.ledger.events(again.id, kinds=("effect.adopted",))]
    assert adopted == [f"{done.id}/{kind}.2" for kind in ("merge", "candidate", "cut-over")]


async def test_there_is_no_way_back_over_an_effect_that_cannot_be_undone(house: LifecycleHarness) -> None:
    """P6. Nothing is asked for, and nothing undone."""
    done = await house.run()
    ledger = house.ledger
    effect = ledger.effects.intend(
        done.id, "migrate", f"{done.id}/migrate", intent={}, compensation="restore a copy", effect_class="pivot"
    )
    ledger.effects.done(effect, {})
    with pytest.raises(NotAllowed, match="migrate, made after checkpoint 1, cannot be undone"):
        request_rewind(ledger, ledger.runs.get(done.id), 1, actor="ana")
    assert ledger.runs.get(done.id).request == ""
    assert {one.status for one in ledger.effects.list(done.id)} == {"done"}
