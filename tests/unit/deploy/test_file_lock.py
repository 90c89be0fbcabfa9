from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from phasegate.infra.file_lock import locked

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_next_holder_waits_until_the_lock_is_released(tmp_path: Path) -> None:
    """Mutation tried: `LOCK_SH`; a single attempt."""
    order: list[str] = []
    first_holds = asyncio.Event()

    async def first() -> None:
        async with locked(tmp_path / "lock"):
            first_holds.set()
            await asyncio.sleep(0.2)  # long enough for the next holder to find the lock taken
            order.append("released")

    async def second() -> None:
        await first_holds.wait()
        async with locked(tmp_path / "lock"):
            order.append("taken")

    await asyncio.gather(first(), second())
    assert order == ["released", "taken"]
