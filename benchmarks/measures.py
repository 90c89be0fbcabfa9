"""The measures: what is done to every contender in turn, and what is read off. DESIGN §10 has the goals.

Each gives samples of seconds or counts per contender; medians, ratios and words are the report's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
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
_MANY = 500
_MANY_SECONDS = 300.0
_ACTIVE = 50
_ACTIVE_SECONDS = 240.0


@dataclass
class Row:
    """What one contender did.

    Attributes:
        contender: Its name, and how it was set up where that differs.
        samples: Per figure, every sample; a median speaks for them.
        facts: Figures of which there is one.
        remarks: What a reader should know.
    """

    contender: str
    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    facts: dict[str, float] = field(default_factory=dict[str, float])
    remarks: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Measure:
    """One thing that is measured.

    Attributes:
        title: What it is.
        headline: The figure whose ratio to phasegate's counts.
        smaller_is_better: Whether that figure should be small.
        goal: DESIGN §10's words.
        take: Measures everybody, in a folder.
    """

    title: str
    headline: str
    smaller_is_better: bool
    goal: str
    take: Callable[[Path], list[Row]]


class _NotUp(Exception):
    """A contender that did not come up; carries the row that says so."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.contender)
        self.row = row


def _taken(*takes: Callable[[], Row]) -> list[Row]:
    """Measure one after the other; one that does not come up keeps nobody else from it."""
    rows: list[Row] = []
    for take in takes:
        try:
            rows.append(take())
        except _NotUp as failure:
            rows.append(failure.row)
    return rows


@contextmanager
def _opened(contender: Contender, folder: Path, shape: Shape, *, active: int = 0, hot: bool = True) -> Iterator[Row]:
    row = Row(contender.name if hot else f"{contender.name}, suspended")
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
            until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate")  # noqa: B023
            time.sleep(_SETTLE_SECONDS)  # nobody decides in the same second
            began = time.time()
            contender.approve(runs)
            until(lambda: contender.finished(runs), seconds=_PATIENCE_SECONDS, what="the end")  # noqa: B023
            seen = contender.moments(runs)[runs[0]]
            row.samples.setdefault("decision → next step, s", []).append(min(seen["after"]) - began)
            if "middle" in seen:
                row.samples.setdefault("of that until the stage began, s", []).append(min(seen["middle"]) - began)
    return row


def _decision(folder: Path) -> list[Row]:
    return _taken(
        partial(_median_of_decisions, folder, Phasegate(), 10),
        partial(_median_of_decisions, folder, Phasegate(), 10, hot=False),
        partial(_median_of_decisions, folder, Prefect(), 4),
        partial(_median_of_decisions, folder, Dbos(), 10),
    )


def _recovery_of(folder: Path, contender: Contender, count: int) -> Row:
    with _opened(contender, folder, STRUCK) as row:
        for number in range(count):
            runs = contender.start(1)
            if isinstance(contender, Phasegate):  # its gate lies before the stage that is struck
                until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate")  # noqa: B023
                contender.approve(runs)
            until(lambda: _times(contender, runs, "middle") == 1, seconds=_PATIENCE_SECONDS, what="the stage")  # noqa: B023
            time.sleep(_SETTLE_SECONDS)
            contender.kill()
            began = time.time()
            contender.restart()
            until(lambda: _times(contender, runs, "middle") > 1, seconds=_PATIENCE_SECONDS, what="recovery")  # noqa: B023
            again = contender.moments(runs)[runs[0]]["middle"][1]
            row.samples.setdefault("restart → the stage runs again, s", []).append(again - began)
            if number == count - 1:
                contender.release()
    return row


def _times(contender: Contender, runs: Sequence[str], step: str) -> int:
    return len(contender.moments(runs)[runs[0]].get(step, []))


def _recovery(folder: Path) -> list[Row]:
    rows = _taken(*(partial(_recovery_of, folder, contender, 3) for contender in (Phasegate(), Prefect(), Dbos())))
    rows[1].remarks.append("set going again by hand: by itself it never is")
    return rows


def _orchestration_of(folder: Path, contender: Contender, count: int) -> Row:
    with _opened(contender, folder, FIVE) as row:
        for _ in range(count):
            accepted = time.time()
            runs = contender.start(1)
            until(lambda: contender.waiting(runs), seconds=_PATIENCE_SECONDS, what="the gate", step=0.005)  # noqa: B023
            reached = time.time()
            time.sleep(_SETTLE_SECONDS)
            approved = time.time()
            contender.approve(runs)
            until(lambda: contender.finished(runs), seconds=_PATIENCE_SECONDS, what="the end")  # noqa: B023
            wall = reached - accepted + max(contender.moments(runs)[runs[0]]["done"]) - approved
            parts = _not_orchestration(contender, runs[0]) if isinstance(contender, Phasegate) else {}
            for name, seconds in parts.items():
                row.samples.setdefault(name, []).append(seconds)
            excluded = sum(parts.get(name, 0.0) for name in ("models, s", "test commands, s"))
            row.samples.setdefault("wall clock, s", []).append(wall)
            row.samples.setdefault("orchestration, s", []).append(wall - excluded)
    return row


def _not_orchestration(contender: Phasegate, run: str) -> dict[str, float]:
    """What of a run's time the project and the models take; the service's start is told, but not taken off."""
    spent = [tuple(map(float, line.split())) for line in contender.project.tests_log.read_text().splitlines()]
    contender.project.tests_log.write_text("")
    effects = {effect.kind: effect for effect in contender.ledger.effects.list(run)}
    candidate = effects["candidate"]
    assert candidate.done_at is not None
    return {
        "models, s": sum(exchange.latency_seconds for exchange in contender.ledger.exchanges.list(run)),
        "test commands, s": sum(end - begin for begin, end in spent),
        "service's start, s": (candidate.done_at - candidate.intended_at).total_seconds(),
    }


def _orchestration(folder: Path) -> list[Row]:
    return _taken(
        partial(_orchestration_of, folder, Phasegate(), 5),
        partial(_orchestration_of, folder, Prefect(), 2),
        partial(_orchestration_of, folder, Dbos(), 5),
    )


def _many_of(folder: Path, contender: Contender) -> Row:
    with _opened(contender, folder, GATED) as row:
        began = time.time()
        deadline = began + _MANY_SECONDS
        runs = contender.start(_MANY)
        row.facts["accepted, s"] = time.time() - began
        _watch(lambda: contender.waiting(runs) == _MANY, until_time=deadline - _MANY_SECONDS / 3)
        reached = contender.waiting(runs)
        row.facts |= {"runs at their gate": reached, "all at their gate, s": time.time() - began}
        time.sleep(_SETTLE_SECONDS)
        weight = weigh(contender.roots())
        row.facts |= {"processes": weight.count, "RSS, MiB": weight.rss, "PSS, MiB": weight.pss}
        engine = weigh(contender.roots()[:1])
        row.facts["of that the first process's RSS, MiB"] = engine.rss
        chosen = runs if reached == _MANY else _those_waiting(contender, runs)
        before = contender.finished(runs)
        approved = time.time()
        contender.approve(chosen)
        row.facts["approved, s"] = time.time() - approved
        wanted = before + len(chosen)
        _watch(lambda: contender.finished(runs) >= wanted, until_time=max(deadline, approved + _MANY_SECONDS / 3))
        finished = contender.finished(runs) - before
        row.facts |= {"went on": finished, "lost": len(chosen) - finished + _MANY - reached}
        row.facts["runs going on per second"] = finished / (time.time() - approved)
    return row


def _those_waiting(contender: Contender, runs: Sequence[str]) -> list[str]:
    return [run for run in runs if contender.waiting([run])]


def _watch(ready: Callable[[], bool], *, until_time: float) -> None:
    while not ready() and time.time() < until_time:
        time.sleep(0.25)


def _many(folder: Path) -> list[Row]:
    return _taken(
        *(partial(_many_of, folder, contender) for contender in (Phasegate(only_prd=True), Prefect(), Dbos()))
    )


def _active_of(folder: Path, contender: Contender) -> Row:
    with _opened(contender, folder, WORKING, active=_ACTIVE) as row:
        began = time.time()
        runs = contender.start(_ACTIVE)
        _watch(lambda: contender.finished(runs) == _ACTIVE, until_time=began + _ACTIVE_SECONDS)
        row.facts["all ended, s"] = time.time() - began
        row.facts["lost or crashed"] = _ACTIVE - contender.finished(runs)
    return row


def _active(folder: Path) -> list[Row]:
    return _taken(*(partial(_active_of, folder, contender) for contender in (Phasegate(), Prefect(), Dbos())))


MEASURES: dict[str, Measure] = {
    "decision": Measure(
        "From a decision to the next stage's first step (phasegate: its first model call)",
        "decision → next step, s",
        smaller_is_better=True,
        goal="hot ≤ 10 ms at no idle cost, suspended ≤ 1 s",
        take=_decision,
    ),
    "recovery": Measure(
        "kill -9 in the middle of a stage: from the restart until the stage runs again",
        "restart → the stage runs again, s",
        smaller_is_better=True,
        goal="≤ 2 s, no finished turn repeated",
        take=_recovery,
    ),
    "orchestration": Measure(
        "Five stages and a gate: all that is neither model nor test command nor the person's thinking",
        "orchestration, s",
        smaller_is_better=True,
        goal="≤ 1 s",
        take=_orchestration,
    ),
    "waiting": Measure(
        "500 runs waiting at gates, all approved at once (each contender has five minutes)",
        "runs going on per second",
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
