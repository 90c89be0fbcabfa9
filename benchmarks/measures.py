"""The measures: what is done to every contender in turn, and what is read off. `goals` has the goals.

Each gives samples of seconds or counts per contender; medians, ratios and words are the report's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.contender import FIVE, GATED, STRUCK, WORKING, Contender, Setup, Shape
from benchmarks.dbos_contender import Dbos
from benchmarks.phasegate_contender import Phasegate
from benchmarks.prefect_contender import Prefect
from benchmarks.processes import until, weigh

_PATIENCE_SECONDS = 120.0
_SETTLE_SECONDS = 1.5


@dataclass(frozen=True)
class Scale:
    """Size of the measures.

    Attributes:
        samples: Repetitions of a quick measure.
        slow_samples: Repetitions of a measure that takes a contender ten seconds or more.
        many: The number of runs that wait at a gate.
        many_seconds: The most time they have to get there, and again to continue from there.
        idle_seconds: The time without any progress after which the wait ends.
        active: The number of runs that work at once.
        active_seconds: The time they have for it.
    """

    samples: int = 6
    slow_samples: int = 3
    many: int = 500
    many_seconds: float = 420.0
    idle_seconds: float = 45.0
    active: int = 50
    active_seconds: float = 120.0


FULL = Scale()
QUICK = Scale(samples=1, slow_samples=1, many=4, many_seconds=60.0, active=3, active_seconds=60.0)


@dataclass
class Row:
    """Figures of one contender.

    Attributes:
        contender: Its name, with its setup where that differs.
        samples: Per figure, every sample; a median speaks for them.
        facts: Figures of which there is one.
        remarks: Remarks for readers.
    """

    contender: str
    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    facts: dict[str, float] = field(default_factory=dict[str, float])
    remarks: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Measure:
    """A measure of all contenders.

    Attributes:
        title: Its title.
        headline: The figure whose ratio to phasegate's counts.
        smaller_is_better: True if that figure should be small.
        goal: Its goal, in words.
        take: Measures every contender, in a folder, at a scale.
    """

    title: str
    headline: str
    smaller_is_better: bool
    goal: str
    take: Callable[[Path, Scale], list[Row]]


SUSPENDED = ", suspended"
DECISION = "decision → next step, s"
RECOVERY = "restart → the stage runs again, s"
ORCHESTRATION = "orchestration, s"
GOING_ON = "runs going on per second"


class _NotUp(Exception):
    """A contender that did not come up; carries the row that says so."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.contender)
        self.row = row


def _taken(*takes: Callable[[], Row]) -> list[Row]:
    """Measure one contender after the other; one that does not come up does not stop the others."""
    rows: list[Row] = []
    for take in takes:
        try:
            rows.append(take())
        except _NotUp as failure:
            rows.append(failure.row)
    return rows


@contextmanager
def _opened(contender: Contender, folder: Path, shape: Shape, *, active: int = 0, hot: bool = True) -> Iterator[Row]:
    row = Row(contender.name if hot else f"{contender.name}{SUSPENDED}")
    place = folder / "".join(letter if letter.isalnum() else "-" for letter in row.contender)
    place.mkdir(parents=True)
    try:
        began = time.time()
        try:
            contender.open(Setup(place, shape, active=active, hot=hot))
        except TimeoutError as error:
            row.remarks.append(str(error))
            raise _NotUp(row) from error
        row.facts["cold start, s"] = time.time() - began
        yield row
        row.facts["machine's load"] = os.getloadavg()[0]
        row.remarks += contender.remarks()
    except TimeoutError as error:
        row.remarks.append(str(error))
    finally:
        contender.close()


def _median_of_decisions(folder: Path, contender: Contender, count: int, *, hot: bool = True) -> Row:
    with _opened(contender, folder, GATED, hot=hot) as row:
        for _ in range(count):
            runs = contender.start(1)
            until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate")  # noqa: B023 -- called before the loop continues
            time.sleep(_SETTLE_SECONDS)  # no person decides in the same second
            began = time.time()
            contender.approve(runs)
            until(lambda: contender.finished(runs), seconds=_PATIENCE_SECONDS, what="the end")  # noqa: B023 -- called before the loop continues
            seen = contender.moments(runs)[runs[0]]
            row.samples.setdefault(DECISION, []).append(min(seen["after"]) - began)
            if "middle" in seen:
                row.samples.setdefault("of that until the stage began, s", []).append(min(seen["middle"]) - began)
    return row


def _decision(folder: Path, scale: Scale) -> list[Row]:
    return _taken(
        partial(_median_of_decisions, folder, Phasegate(), scale.samples),
        partial(_median_of_decisions, folder, Phasegate(), scale.samples, hot=False),
        partial(_median_of_decisions, folder, Prefect(), scale.slow_samples),
        partial(_median_of_decisions, folder, Dbos(), scale.samples),
    )


def _recovery_of(folder: Path, contender: Contender, count: int) -> Row:
    with _opened(contender, folder, STRUCK) as row:
        for number in range(count):
            runs = contender.start(1)
            if isinstance(contender, Phasegate):  # its gate lies before the stage that is struck
                until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate")  # noqa: B023 -- called before the loop continues
                contender.approve(runs)
            until(lambda: _times(contender, runs, "middle") == 1, seconds=_PATIENCE_SECONDS, what="the stage")  # noqa: B023 -- called before the loop continues
            time.sleep(_SETTLE_SECONDS)
            contender.kill()
            began = time.time()
            contender.restart()
            until(lambda: _times(contender, runs, "middle") > 1, seconds=_PATIENCE_SECONDS, what="recovery")  # noqa: B023 -- called before the loop continues
            again = contender.moments(runs)[runs[0]]["middle"][1]
            row.samples.setdefault(RECOVERY, []).append(again - began)
            if number == count - 1:
                contender.release()
    return row


def _times(contender: Contender, runs: Sequence[str], step: str) -> int:
    return len(contender.moments(runs)[runs[0]].get(step, []))


def _recovery(folder: Path, scale: Scale) -> list[Row]:
    contenders = (Phasegate(), Phasegate(cold=True), Prefect(), Dbos())
    rows = _taken(*(partial(_recovery_of, folder, contender, scale.slow_samples) for contender in contenders))
    warm, cold, prefect, _ = rows
    warm.remarks.append("its standby is there from the moment it serves")
    cold.remarks.append("its standby was killed before it: a restart imports everything anew")
    prefect.remarks.append("set going again by hand: by itself it never is")
    return rows


def _orchestration_of(folder: Path, contender: Contender, count: int) -> Row:
    with _opened(contender, folder, FIVE) as row:
        for _ in range(count):
            accepted = time.time()
            runs = contender.start(1)
            until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate", step=0.005)  # noqa: B023 -- called before the loop continues
            reached = time.time()
            time.sleep(_SETTLE_SECONDS)
            approved = time.time()
            contender.approve(runs)
            until(lambda: contender.finished(runs), seconds=_PATIENCE_SECONDS, what="the end")  # noqa: B023 -- called before the loop continues
            windows = [(accepted, reached), (approved, max(contender.moments(runs)[runs[0]]["done"]))]
            wall = sum(end - begin for begin, end in windows)
            parts = _not_orchestration(contender, runs[0]) if isinstance(contender, Phasegate) else {}
            for name, spans in parts.items():
                row.samples.setdefault(name, []).append(covered(spans, windows))
            excluded = covered([span for spans in parts.values() for span in spans], windows)
            row.samples.setdefault("wall clock, s", []).append(wall)
            row.samples.setdefault(ORCHESTRATION, []).append(wall - excluded)
            if isinstance(contender, Phasegate):
                spans = [span for found in parts.values() for span in found]
                for name, seconds in _by_stage(contender, runs[0], spans, windows).items():
                    row.samples.setdefault(name, []).append(seconds)
    return row


Span = tuple[float, float]


def covered(spans: Iterable[Span], windows: Iterable[Span]) -> float:
    """Seconds of some windows that lie in at least one of the spans; overlaps count once."""
    ordered, total = sorted(spans), 0.0
    for begin, end in windows:
        seen = begin
        for start, stop in ordered:
            total += max(0.0, min(stop, end) - max(start, seen))
            seen = max(seen, min(stop, end))
    return total


def _not_orchestration(contender: Phasegate, run: str) -> dict[str, list[Span]]:
    """When models, the project's tests and its starting service were at work, as ledger and test command have it."""
    exchanges = contender.ledger.exchanges.list(run)
    calls = [(call.at.timestamp() - call.latency_seconds, call.at.timestamp()) for call in exchanges]
    spent, starts = (_taken_from(log) for log in (contender.project.tests_log, contender.project.service_log))
    return {"models, s": calls, "test commands, s": spent, "service's starts, s": starts}


def _taken_from(log: Path) -> list[Span]:
    """The spans in a log, which is empty afterwards."""
    spans = [(float(begin), float(end)) for begin, end in map(str.split, log.read_text().splitlines())]
    log.write_text("")
    return spans


def _by_stage(contender: Phasegate, run: str, spans: Sequence[Span], windows: Sequence[Span]) -> dict[str, float]:
    """Seconds of orchestration per attempt, in their order, and in the gaps between attempts."""
    parts: dict[str, float] = {}
    seen = list(spans)
    for attempt in contender.ledger.attempts.list(run):
        if attempt.finished_at is not None:
            own = [(attempt.started_at.timestamp(), attempt.finished_at.timestamp())]
            before = covered(seen, windows)
            seen += own
            parts[f"{attempt.stage} {attempt.part}".strip()] = covered(seen, windows) - before
    (accepted, _), *_ = windows
    first = min((attempt.started_at.timestamp() for attempt in contender.ledger.attempts.list(run)), default=accepted)
    parts["before the first stage"] = first - accepted
    parts["between stages"] = sum(end - begin for begin, end in windows) - covered([*seen, (accepted, first)], windows)
    return {f"of that {name}, s": seconds for name, seconds in parts.items()}


def _orchestration(folder: Path, scale: Scale) -> list[Row]:
    return _taken(
        partial(_orchestration_of, folder, Phasegate(), scale.slow_samples),
        partial(_orchestration_of, folder, Prefect(), scale.slow_samples),
        partial(_orchestration_of, folder, Dbos(), scale.slow_samples),
    )


def _many_of(folder: Path, contender: Contender, scale: Scale) -> Row:
    with _opened(contender, folder, GATED) as row:
        began = time.time()
        runs = contender.start(scale.many)
        row.facts["accepted, s"] = time.time() - began
        _follow(lambda: contender.waiting(runs), scale.many, scale)
        reached = contender.waiting(runs)
        row.facts |= {"runs at their gate": reached, "all at their gate, s": time.time() - began}
        time.sleep(_SETTLE_SECONDS)
        weight = weigh(contender.roots())
        row.facts |= {"processes": weight.count, "RSS, MiB": weight.rss, "PSS, MiB": weight.pss}
        for name, pid in contender.parts().items():
            row.facts[f"of that {name}, PSS, MiB"] = weigh([pid], alone=True).pss
        chosen = runs if reached == scale.many else _those_waiting(contender, runs)
        approved = time.time()
        contender.approve(chosen)
        row.facts["approved, s"] = time.time() - approved
        _follow(lambda: contender.gone_on(chosen), len(chosen), scale)
        seconds, gone_on = time.time() - approved, contender.gone_on(chosen)
        row.facts |= {"went on": gone_on, "still to come": scale.many - gone_on, GOING_ON: gone_on / seconds}
    return row


def _those_waiting(contender: Contender, runs: Sequence[str]) -> list[str]:
    return [run for run in runs if contender.waiting([run])]


def _watch(ready: Callable[[], bool], *, until_time: float) -> None:
    while not ready() and time.time() < until_time:
        time.sleep(0.25)


def _follow(count: Callable[[], int], wanted: int, scale: Scale) -> None:
    """Wait until as many have come as are wanted, for as long as they keep coming."""
    began = moved = time.time()
    seen = -1
    while (now := count()) < wanted and time.time() < min(began + scale.many_seconds, moved + scale.idle_seconds):
        if now > seen:
            seen, moved = now, time.time()
        time.sleep(0.25)


def _many(folder: Path, scale: Scale) -> list[Row]:
    return _taken(*(partial(_many_of, folder, contender, scale) for contender in (Phasegate(), Prefect(), Dbos())))


def _active_of(folder: Path, contender: Contender, scale: Scale) -> Row:
    with _opened(contender, folder, WORKING, active=scale.active) as row:
        began = time.time()
        runs = contender.start(scale.active)
        _watch(lambda: contender.finished(runs) == scale.active, until_time=began + scale.active_seconds)
        row.facts["all ended, s"] = time.time() - began
        row.facts["lost or crashed"] = scale.active - contender.finished(runs)
    return row


def _active(folder: Path, scale: Scale) -> list[Row]:
    return _taken(*(partial(_active_of, folder, contender, scale) for contender in (Phasegate(), Prefect(), Dbos())))


MEASURES: dict[str, Measure] = {
    "decision": Measure(
        "From a decision to the next stage's first step (phasegate: its first model call)",
        DECISION,
        smaller_is_better=True,
        goal="hot ≤ 10 ms at no idle cost, suspended ≤ 1 s",
        take=_decision,
    ),
    "recovery": Measure(
        "kill -9 in the middle of a stage: from the restart until the stage runs again",
        RECOVERY,
        smaller_is_better=True,
        goal="≤ 2 s, no finished turn repeated",
        take=_recovery,
    ),
    "orchestration": Measure(
        "Five stages and a gate: all that is neither model, test command, the service's start nor a person's thinking",
        ORCHESTRATION,
        smaller_is_better=True,
        goal="≤ 1 s",
        take=_orchestration,
    ),
    "waiting": Measure(
        "500 runs waiting at gates, all approved at once, until the next stage's first step, for as long as any go on",
        GOING_ON,
        smaller_is_better=False,
        goal="0 processes, engine under 300 MB, none lost, twice stock Prefect's rate or better",
        take=_many,
    ),
    "active": Measure(
        "50 runs working at once in one engine, three steps of a second each",
        "all ended, s",
        smaller_is_better=True,
        goal="50 on 2 cores, none lost or crashed",
        take=_active,
    ),
}
