"""`python -m benchmarks stalls [CASE…]`: longest block of the engine's loop while agents make what is large or odd.

Each case is a run of its own, in a process of its own: the loop with all that the stages do, and a model beside it.
What a person reads of the change is made as well. Into STALLS.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stalls.cases import CASES

GOAL_SECONDS = 0.1
"""Longest block of the loop."""
_LIMIT_SECONDS = 600
_TABLE = Path(__file__).parent.with_name("STALLS.md")
_HEAD = f"""# What an agent makes, and the engine's loop

Written by `make bench ARGS=stalls`. *Block* is the longest time in which the engine's loop did nothing for any other
run; the goal is {GOAL_SECONDS * 1000:g} ms. *Run* is the whole run: PRD, implementation, tests, grade, merge. *Diff* is
what `phasegate diff` takes to make its text. *Memory* is the most that the process held.

| case | block, ms | run, s | diff, s | memory, MiB | outcome |
| --- | --- | --- | --- | --- | --- |
"""


def measure(names: Sequence[str] = ()) -> None:
    """Measure the cases, and write the table if all were measured."""
    rows: list[str] = []
    for name in names or CASES:
        with tempfile.TemporaryDirectory(prefix="phasegate-stalls-", ignore_cleanup_errors=True) as folder:
            rows.append(_row(name, Path(folder), culprit=bool(names)))
        print(rows[-1], flush=True)
    if not names:
        _TABLE.write_text(_HEAD + "".join(f"{row}\n" for row in rows))


def _row(name: str, folder: Path, *, culprit: bool) -> str:
    words = CASES[name].words
    model = subprocess.Popen([sys.executable, "-m", "benchmarks.stalls.model", name], stdout=subprocess.PIPE, text=True)
    try:
        port = (model.stdout or sys.stdin).readline().strip()
        command = [sys.executable, "-m", "benchmarks.stalls.play", name, str(folder), port]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"| {words} | | over {_LIMIT_SECONDS} | | | not through |"
    finally:
        model.kill()
        model.wait()
    if done.returncode != 0:
        return f"| {words} | | | | | failed: {done.stderr.strip().splitlines()[-1][:200]} |"
    result = json.loads(done.stdout.splitlines()[-1])
    if culprit:
        print(result["culprit"], result["why"])
    figures = (f"{result['block'] * 1000:.0f}", f"{result['seconds']:.1f}", f"{result['diff']:.1f}")
    return f"| {words} | {' | '.join(figures)} | {result['memory']:.0f} | {result['status']} |"
