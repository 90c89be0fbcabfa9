"""`python -m benchmarks loop`: every contender through 20, 100 and 300 turns, one after the other, into LOOP.md."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any
from urllib.request import urlopen

from benchmarks.loop.cut import cuts
from benchmarks.loop.model import FILES

_TOP = Path(__file__).parents[2]
_PEERS = str(_TOP / ".venv-bench/bin/python")
_TABLE = _TOP / "benchmarks/LOOP.md"
_TURNS = (20, 100, 300)
_ROUNDS = 5
_ENDS = 20
_CUTS = 20
_NOTES = "".join(f"{line:>4}  What stands in line {line} of the notes.\n" for line in range(40))
_WORK = ("work", "state")
"""Subfolders of a contender's folder that are not its record."""
_SECONDS = 300


@dataclass(frozen=True)
class _Contender:
    """A contender that plays the trajectories.

    Attributes:
        name: Its name in the table.
        command: The command that starts it; address, turns and folder follow.
        tool: The tool that the model calls.
        further: Arguments after those.
        rounds: The number of times it plays each trajectory: the longest takes some of them minutes.
    """

    name: str
    command: Sequence[str]
    tool: str = "read_file"
    further: Sequence[str] = ()
    rounds: int = _ROUNDS


_BARE = (_PEERS, str(_TOP / "benchmarks/peers/loop_bare.py"))
BARE = _Contender("bare httpx loop with a journal", _BARE)
OURS = _Contender("phasegate", (sys.executable, "-m", "benchmarks.loop.ours"))
_LANGCHAIN = (_PEERS, str(_TOP / "benchmarks/peers/loop_langchain.py"))
_CONTENDERS = (
    OURS,
    BARE,
    _Contender("the same, streaming", _BARE, further=("stream",)),
    _Contender("LangChain create_agent, SqliteSaver", _LANGCHAIN, rounds=1),
    _Contender("mini-swe-agent", (_PEERS, str(_TOP / "benchmarks/peers/loop_mini.py")), "bash", rounds=1),
)


@dataclass(frozen=True)
class Figures:
    """Figures of one contender on one trajectory.

    Attributes:
        first: Milliseconds a turn, the mean of the first turns (the very first, which starts it all, aside).
        last: The same of the last ones.
        stored: Bytes of its record.
        share: The least share of a request's messages that the next one began with.
        sent: Bytes sent to the model.
        cpu: Seconds of processor time, from the process's start to its end.
    """

    first: float
    last: float
    stored: int
    share: float
    sent: int
    cpu: float


def measure() -> None:
    """Measure every contender, and write the table.

    Raises:
        RuntimeError: A contender did not come to the end of its trajectory.
    """
    before = os.getloadavg()[0]
    found: dict[tuple[str, int], list[Figures]] = {}
    with _model() as url:
        for turns in _TURNS:
            for number in range(_ROUNDS):  # in turns, so that a busy moment of the machine strikes all contenders alike
                for contender in (one for one in _CONTENDERS if number < one.rounds):
                    figures = _one(contender, turns, url)
                    found.setdefault((contender.name, turns), []).append(figures)
                    print(turns, contender.name, figures, flush=True)
    lines = _report({key: _median(rounds) for key, rounds in found.items()}, cuts(_CUTS), before)
    _TABLE.write_text("\n".join(lines) + "\n")


def _one(contender: _Contender, turns: int, url: str) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix="phasegate-loop-"))
    try:
        (folder / "work").mkdir()
        for number in range(FILES):
            (folder / f"work/notes-{number}.txt").write_text(_NOTES)
        _ask(f"{url}/reset?turns={turns}&tool={contender.tool}")
        command = [*contender.command, url, str(turns), str(folder), *contender.further]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        cpu = _cpu_of_ended()
        done = subprocess.run(
            command, cwd=_TOP, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        told = _ask(f"{url}/report")
        if done.returncode or told["turns"] != turns:
            raise RuntimeError(f"{contender.name} made {told['turns']} of {turns} turns: {done.stderr[-2000:]}")
        milliseconds = [1000 * seconds for seconds in told["seconds"]]
        stored = sum(
            path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file() and path.relative_to(folder).parts[0] not in _WORK
        )
        return Figures(
            first=mean(milliseconds[:_ENDS]),
            last=mean(milliseconds[-_ENDS:]),
            stored=stored,
            share=float(told["share"]),
            sent=int(told["sent"]),
            cpu=_cpu_of_ended() - cpu,
        )
    finally:
        shutil.rmtree(folder)


def _cpu_of_ended() -> float:
    """Seconds of processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _model() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.loop.model"]
    with subprocess.Popen(command, cwd=_TOP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _ask(url: str) -> dict[str, Any]:
    with urlopen(url) as answer:  # noqa: S310  our own server on loopback
        said: dict[str, Any] = json.load(answer)
    return said


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(
        first=median(figures.first for figures in rounds),
        last=median(figures.last for figures in rounds),
        stored=int(median(figures.stored for figures in rounds)),
        share=min(figures.share for figures in rounds),
        sent=int(median(figures.sent for figures in rounds)),
        cpu=median(figures.cpu for figures in rounds),
    )


def _report(found: Mapping[tuple[str, int], Figures], cut: Sequence[float], load: float) -> list[str]:
    lines = [
        "# The agent loop beside its peers",
        "",
        "Written by `make bench ARGS=loop`. Everybody plays the same trajectory: at each turn the model asks for",
        "a file of 1.6 kB. A turn's overhead is what the model's side of the wire sees between the last byte of",
        f"its answer and the last byte of the next request: the mean of the first and last {_ENDS} turns, the median",
        f"of {_ROUNDS} rounds (of one for LangChain and mini-swe-agent, which takes minutes). Stored: all that it left",
        "on disk. Prefix: the least share of a request's messages that the next request began with, unchanged. CPU:",
        "of the whole process, its start included. × bare: of the bare loop that takes its answers whole.",
        "",
        "phasegate streams, keeps each exchange as sent and received and what its tools answered in a hash-chained",
        "ledger, behind the fence of a lease, checks budgets, looks for messages and for a pause, and takes secrets",
        "out of answers and outputs; the bare loop keeps what was said. Both wait for the disk once a turn. LangChain",
        "checkpoints its thread; mini-swe-agent writes its trajectory and waits for no disk. None of the peers keeps",
        "requests or receipts. Starting up is in nobody's milliseconds: they begin after the first answer. Leaving old",
        "outputs out of long threads is off: the peers have nothing of the kind. phasegate packs what it stores, and",
        "repeated text with it; the peers do not.",
        "",
        "Goals: at most twice the bare loop, flat; storage linear; prefix 100 %;",
        "`steer --now` cuts within 200 ms (P11).",
        "",
        "| turns | contender | first, ms | last, ms | last × bare | stored, kB | stored × bare | prefix | CPU, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for turns in _TURNS:
        bare = found[BARE.name, turns]
        for contender in _CONTENDERS:
            own = found[contender.name, turns]
            cells = [
                str(turns), contender.name, f"{own.first:.1f}", f"{own.last:.1f}", f"{own.last / bare.last:.1f}",
                f"{own.stored / 1000:.0f}", f"{own.stored / bare.stored:.1f}", f"{100 * own.share:.0f} %",
                f"{own.cpu:.1f}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    versions = subprocess.run([_PEERS, "-c", _VERSIONS], capture_output=True, text=True, check=True).stdout.strip()
    lines += ["", *_growth(found), "", *_cutting(cut)]
    at = datetime.now(tz=UTC).isoformat(timespec="minutes")
    lines += ["", f"{at}, {len(os.sched_getaffinity(0))} cores, load before {load:.1f}; {versions}."]
    return lines


def _growth(found: Mapping[tuple[str, int], Figures]) -> list[str]:
    few, many = min(_TURNS), max(_TURNS)

    def each(name: str, of: Callable[[Figures], float]) -> float:
        return (of(found[name, many]) - of(found[name, few])) / (many - few)

    stored, journal = (each(name, lambda figures: figures.stored) for name in (OURS.name, BARE.name))
    cpu, bare = (1000 * each(name, lambda figures: figures.cpu) for name in (OURS.name, BARE.name))
    return [
        f"From turn {few} to {many} each turn adds {stored / 1000:.1f} kB to phasegate's record and",
        f"{journal / 1000:.1f} kB to the bare loop's journal: {stored / journal:.1f} ×. The rest is the empty ledger's",
        "tables and indexes.",
        f"Each takes {cpu:.1f} ms of processor time, and {bare:.1f} ms of the bare loop's: {cpu / bare:.1f} ×.",
    ]


def _cutting(cut: Sequence[float]) -> list[str]:
    return [
        "`steer --now`, from the message in the ledger until the model's side sees its answer dropped (the command",
        f"line's own start not counted), {len(cut)} times: median {median(cut):.0f} ms, longest {max(cut):.0f} ms.",
    ]


_VERSIONS = """
import importlib.metadata as m
print(", ".join(f"{name} {m.version(name)}" for name in "langchain langgraph mini-swe-agent httpx".split()))
"""

if __name__ == "__main__":
    began = time.monotonic()
    measure()
    print(f"{time.monotonic() - began:.0f} s")
