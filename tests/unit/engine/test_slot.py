"""Deferred reports reach Prefect in order, before the flow run's state does, and none of them gets lost."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import anyio
import pytest

from phasegate.flows.engine.wakeups import Slot


def _slot() -> Slot:
    return Slot(anyio.CapacityLimiter(1), uuid4())


async def test_reports_are_told_in_the_order_in_which_they_were_asked_for() -> None:
    """Mutation tried: without waiting for the report before, the quick one comes first."""
    told: list[str] = []
    slot, may_go_on = _slot(), asyncio.Event()

    async def slow() -> None:
        await may_go_on.wait()
        told.append("slow")

    async def quick() -> None:
        told.append("quick")

    slot.defer_report(slow())
    slot.defer_report(quick())
    await asyncio.sleep(0)
    may_go_on.set()
    await slot.flush_reports()

    assert told == ["slow", "quick"]


async def test_what_went_wrong_before_is_not_lost_behind_what_went_well() -> None:
    """Mutation tried: giving the last report's outcome alone."""
    slot = _slot()

    async def fails() -> None:
        raise ConnectionError("gone")

    async def goes_well() -> None: ...

    slot.defer_report(fails())
    slot.defer_report(goes_well())

    with pytest.raises(ConnectionError, match="gone"):
        await slot.flush_reports()
    await slot.flush_reports()
