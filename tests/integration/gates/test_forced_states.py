"""P5: a forced state in Prefect is recorded, even for a run that is left while it is looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from tests.integration.gates.conftest import Desk
from typing_extensions import override

from phasegate.flows.engine.executor import ForcedState, InProcessExecutor
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates import gates


@pytest.mark.parametrize("left", ["before", "while"])
async def test_a_run_that_is_left_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    """Mutation tried: the background search is cut off with the run; a state was then never recorded."""
    gate = desk.gate(run := desk.accept())
    looking, answering = asyncio.Event(), asyncio.Event()

    class SlowExecutor(InProcessExecutor):
        @override
        async def forced_states(self, opened: datetime, answered: datetime | None) -> Sequence[ForcedState]:
            looking.set()
            await answering.wait()
            return [ForcedState(uuid4(), "Resuming")]

    monkeypatch.setattr(f"{gates.__name__}._UNHURRIED_SECONDS", 0.0 if left == "while" else 3600.0)
    context = RunContext(run, cast("Any", SimpleNamespace(ledger=desk.ledger)), SlowExecutor())
    await gates.note_forced_states(context, [gate])
    if left == "while":
        await looking.wait()
    leaving = asyncio.create_task(context.background.cancel())
    await looking.wait()
    answering.set()
    await leaving
    assert [event.payload["state"] for event in desk.ledger.events(run.id) if event.kind == "state.refused"] == [
        "Resuming"
    ]
