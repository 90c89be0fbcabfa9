"""P17: what an agent makes holds up neither the engine's loop nor a person who cancels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.greeter import QUICK_GRADES, REQUESTER, calls, edit, write_greeter
from tests.support.lifecycle import open_lifecycle

POLICY = QUICK_GRADES + '[lifecycle]\nstages = ["prd", "implementation", "testing"]\nmax_attempts = 1\n'
LIMIT_SECONDS = 1.0
"""Longest block that is let pass: generous, for a machine under load. `make bench ARGS=stalls` has the goal."""
JAVASCRIPT = "var a=function(b,c){return b.d+c[0]?'x':\"y\"};if(a){a.e=1}else{throw new Error('f:'+a)}"
ODD = """import os, socket
open(chr(0x85) * 127, "w").write("x")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
"""


@dataclass
class Beat:
    longest: float = 0.0


@asynccontextmanager
async def beating() -> AsyncGenerator[Beat]:
    """Measure how late the loop wakes a coroutine that sleeps for a moment."""
    beat = Beat()

    async def measure() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            beat.longest = max(beat.longest, time.monotonic() - began - 0.005)

    measuring = asyncio.create_task(measure())
    try:
        yield beat
    finally:
        measuring.cancel()


def house(folder: Path, turns: list[dict[str, Any]], **files: str) -> None:
    finish = {"finish": {"summary": "done"}}
    write_greeter(
        folder, policy=POLICY, stages={"implementation": [edit("Hello", "Good day"), *turns, finish]}, files=files
    )


@pytest.mark.parametrize(
    "turns",
    [
        [calls("write_file", path="made.txt", content="sk-" * 87_000), calls("run", command="cat made.txt")],
        [calls("write_file", path="made.txt", content="eyJ-" * 64_000)],
        [calls("write_file", path="made.js", content=JAVASCRIPT * 8_000), calls("read_file", path="made.js")],
        [calls("run", command="|".join(["true"] * 100_001))],
        [calls("run", command=f"python3 -c '{ODD}'")],
        [calls("run", command="python3 -c \"print('log ' * 2_500_000)\"")],
    ],
    ids=["secrets", "tokens", "minified", "pipes", "names", "output"],
)
async def test_the_loop_goes_on(tmp_path: Path, turns: list[dict[str, Any]]) -> None:
    """Mutations tried: tools carried out in the loop, and `grade` awaited there, with a minified line."""
    house(tmp_path, turns)
    async with open_lifecycle(tmp_path) as machine:
        run = machine.kick_off()
        async with beating() as beat:
            ended = await machine.carry(run)
    assert ended.status == "done"
    assert beat.longest <= LIMIT_SECONDS


async def test_a_run_is_cancelled_while_its_grade_is_busy(tmp_path: Path) -> None:
    """Mutation tried: `in_own_loop` that does not cancel its coroutine."""
    began_file = tmp_path / "began"
    slow = f"[ -e slow ] && touch {began_file} && sleep 60\ntrue\n"
    house(tmp_path, [calls("write_file", path="slow", content="x")], **{"tests/slow.sh": slow})
    async with open_lifecycle(tmp_path) as machine:
        run = machine.kick_off()
        carrying = asyncio.create_task(machine.carry(run))
        deadline = time.monotonic() + 60
        while not await asyncio.to_thread(began_file.exists) and time.monotonic() < deadline:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)
        began = time.monotonic()
        machine.ledger.runs.ask(run.id, "cancel", actor=REQUESTER.name)
        ended = await asyncio.wait_for(carrying, timeout=30)
        assert time.monotonic() - began <= 20
    assert ended.status == "cancelled"
