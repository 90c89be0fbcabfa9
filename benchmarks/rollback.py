"""`python -m benchmarks rollback`: how long a bad release goes unnoticed, and how long the way back takes.

Plays every scenario that breaches (tests/acceptance/scenarios) on each target, and counts in measurement intervals:
once by the ledger, and once by an outside client that asks the service for its version fifty times a second. Into
ROLLBACK.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from tests.acceptance.scenarios.outside import Seen
from tests.acceptance.scenarios.shops import Target
from tests.acceptance.scenarios.stage import Played, ScenarioRunner
from tests.acceptance.scenarios.stages import opened
from tests.acceptance.scenarios.table import BOTH, Scenario, on
from tests.kubernetes import KubernetesServer
from tests.prometheus import PrometheusServer

from phasegate.infra.ledger import Event

_TABLE = Path(__file__).with_name("ROLLBACK.md")
INTERVAL = timedelta(seconds=2)
"""Policy's own default."""
_ROUNDS = 1
_HEAD = f"""# From a fault to the way back

Written by `make bench ARGS=rollback`. Every scenario of tests/acceptance/scenarios whose release is bad, end to end
through the command line; medians of {_ROUNDS} round(s), in measurement intervals of {INTERVAL.total_seconds():g} s.

- *fault → breach*: from the first answer of the bad release outside (or the moment its metric source went away) to the
  verdict. What a limit tolerates is in it: a metric that tolerates one failure needs two.
- *breach → back*: from the verdict to the effect `cut-over` (or `weight`) undone, as the ledger has it.
- *seen outside*: from the verdict to the last answer of the bad release.
- *unanswered*: requests outside, one every 20 ms, that got no answer from the breach on.

| scenario | target | fault → breach | breach → back | seen outside | unanswered |
| --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Times:
    """Times of one bad release, in intervals.

    Attributes:
        noticed: From the fault to the verdict.
        undone: From there until the effect that gave it traffic was undone, by the ledger.
        gone: From there to its last answer, seen from outside.
        unanswered: Requests outside that nothing answered, from there on.
    """

    noticed: float
    undone: float
    gone: float
    unanswered: int

    @classmethod
    def of(cls, played: Played, interval: timedelta) -> Times:
        """Read the times off a scenario that was played."""
        breach = _breach(played.events)
        fault = played.fault_at or _first(played.seen, played.new.version)
        undone = next(
            event.at.timestamp()
            for event in played.events
            if event.kind == "effect.undone" and event.payload["effect"].rpartition("/")[2] != "candidate"
        )
        after = [seen for seen in played.seen if seen.at >= breach]
        gone = max((seen.at for seen in after if seen.version == played.new.version), default=breach)
        unit = interval.total_seconds()
        return cls(
            (breach - fault) / unit,
            (undone - breach) / unit,
            (gone - breach) / unit,
            sum(not seen.version for seen in after),
        )


def _breach(events: Sequence[Event]) -> float:
    """When the verdict was there because of which everything was undone: the last thing finished before that."""
    first = next(place for place, event in enumerate(events) if event.kind == "effect.undone")
    return next(event.at.timestamp() for event in reversed(events[:first]) if event.kind == "attempt.finished")


def _first(seen: Sequence[Seen], version: str) -> float:
    return next(one.at for one in seen if one.version == version)


def measure() -> None:
    """Play all scenarios, and write the table."""
    where = f"{len(os.sched_getaffinity(0))} cores, load before {os.getloadavg()[0]:.1f}"
    lines: list[str] = []
    for target in BOTH:
        with _stage(target) as stage:
            for scenario in (one for one in on(target) if one.breaches):
                lines.append(_row(scenario, target, [_times(stage, scenario) for _ in range(_ROUNDS)]))
                print(lines[-1], flush=True)
    when = datetime.now(tz=UTC).isoformat(timespec="minutes")
    _TABLE.write_text(_HEAD + "\n".join(lines) + f"\n\n{when}, {where}.\n")


def _times(stage: ScenarioRunner, scenario: Scenario) -> Times:
    return Times.of(stage.require(scenario), INTERVAL)


def _row(scenario: Scenario, target: Target, rounds: Sequence[Times]) -> str:
    figures = [f"{median(getattr(one, name) for one in rounds):.2f}" for name in ("noticed", "undone", "gone")]
    unanswered = f"{median(one.unanswered for one in rounds):.0f}"
    return " | ".join([f"| {scenario.name}", target, *figures, f"{unanswered} |"])


@contextmanager
def _stage(target: Target) -> Iterator[ScenarioRunner]:
    """A machine of its own for one target, with all that is measured and released to."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="phasegate-rollback-")))
        prometheus = PrometheusServer(scrape_interval="500ms")
        ends.callback(prometheus.remove)
        server = _cluster(ends) if target == "kubernetes" else None
        yield ends.enter_context(opened(folder, prometheus, server, interval=INTERVAL))


def _cluster(ends: ExitStack) -> KubernetesServer:
    server = KubernetesServer()
    ends.callback(server.remove)
    server.start()
    server.kubelet.start()
    return server
