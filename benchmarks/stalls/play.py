"""Plays one case in an engine's loop, and prints its figures: `python -m benchmarks.stalls.play CASE FOLDER PORT`."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.stalls.cases import CASES, Case
from tests.support.greeter import QUICK_GRADES, REQUESTER, RUNNER
from tests.support.people import decide
from tests.support.repositories import first_commit
from typing_extensions import override

from phasegate.flows.cli.views.diff import coloured, read_change
from phasegate.flows.engine.daemon import freeze_loaded_objects
from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.engine.resources import Resources, open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.pipeline import pipeline
from phasegate.flows.lifecycle.runner import run_lifecycle
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.errors import PhasegateError
from phasegate.infra.settings import Settings

_BEAT_SECONDS = 0.005
_NOTED_SECONDS = 0.1
_IDLE = frozenset({"_worker", "select", "poll"})
"""Functions in which threads wait."""


@dataclass
class LoopWatch:
    """Watch over the engine's loop: the longest time in which it did nothing for anybody else."""

    longest: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    culprit: str = ""

    async def beat(self) -> None:
        """Measure how late a coroutine wakes that sleeps for a moment."""
        while True:
            self.seen = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            late = time.monotonic() - self.seen - _BEAT_SECONDS
            self.longest = max(self.longest, late)

    def note_culprits(self) -> None:
        """Note what ran while the loop was late; a thread of its own."""
        worst = 0.0
        while True:
            time.sleep(_BEAT_SECONDS)
            late = time.monotonic() - self.seen
            if late > max(_NOTED_SECONDS, worst):
                worst, stacks = late, []
                for thread, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way
                    if thread != threading.get_ident() and frame.f_code.co_name not in _IDLE:
                        stacks.append("".join(traceback.format_stack(frame)[-8:]))
                self.culprit = f"late by {late:.3f} s\n" + "\n---\n".join(stacks)


class _Approving(InProcessExecutor):
    def __init__(self, shared: Resources) -> None:
        super().__init__()
        self.shared = shared

    @override
    async def publish_artifact(self, key: str, *, markdown: str, description: str) -> None:
        del markdown

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        approve = decide("approve", REQUESTER, "go")
        while not decided():
            for gate in self.shared.ledger.gates.waiting(run_id):
                approve(self.shared.ledger, gate)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _watched() -> AsyncGenerator[LoopWatch]:
    watch = LoopWatch()
    threading.Thread(target=watch.note_culprits, daemon=True).start()
    beating = asyncio.create_task(watch.beat())
    try:
        yield watch
    finally:
        beating.cancel()


def _project(folder: Path, case: Case) -> Path:
    top = folder / "project"
    special = f'[ -e report.py ] && exec python3 report.py "$1" {case.arguments}\n'
    policy = QUICK_GRADES + '[lifecycle]\nstages = ["prd", "implementation", "testing"]\nmax_attempts = 1\n'
    policy = policy.replace("[grading]\n", '[grading]\nablation_time = "10s"\n')
    policy += '[agents]\nmodel = "compatible:stub"\n' + case.policy
    files = {"greeting.txt": "Hello\n", "run-tests.sh": special + RUNNER, "phasegate.toml": policy}
    first_commit(top, {**files, "tests/plain.sh": "test -s greeting.txt\n"})
    (folder / "ticket.md").write_text("---\ntitle: Greet\n---\nSay Good day.\n")
    return top


async def _play(case: Case, folder: Path, port: int) -> dict[str, object]:
    os.environ["PHASEGATE_COMPATIBLE_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
    top = _project(folder, case)
    settings = Settings(home=folder / "home")
    settings.create_folders()
    async with open_resources(settings) as shared:
        request = KickoffRequest(str(folder / "ticket.md"), top)
        run = kick_off(
            request, ledger=shared.ledger, settings=settings, person=REQUESTER, environment=os.environ, stdin=bytes
        )
        freeze_loaded_objects()  # as the engine does
        async with _watched() as watch:
            await asyncio.sleep(0.2)
            began = time.monotonic()
            error = ""
            try:
                await run_lifecycle(run.id, pipeline, _Approving(shared))
            except PhasegateError as failure:
                error = failure.message
            seconds = time.monotonic() - began
            await asyncio.sleep(0.05)
        record = shared.ledger.runs.get(run.id)
        reason = record.reason or {}
        page = time.monotonic()
        if case.page and any(
            attempt.artifact
            for attempt in shared.ledger.attempts.list(
                run.id,
            )
        ):
            try:
                coloured(read_change(shared.ledger, record).text)
            except PhasegateError as failure:
                error = error or failure.message
        pages = time.monotonic() - page
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "block": watch.longest,
        "seconds": seconds,
        "diff": pages,
        "memory": memory,
        "status": record.status,
        "why": str(error or reason)[:300],
        "culprit": watch.culprit,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_play(CASES[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])))))
