"""Plays scenarios through the command line, one after the other, and says how each ended.

All on a stage share one engine, one repository and one service: what serves when a scenario begins is what the ones
before it left. Where one did not end as it has to, the next begins in a fresh repository.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.acceptance.lifecycle.conftest import git
from tests.acceptance.scenarios.outside import Discovery, Outside, Seen
from tests.acceptance.scenarios.shops import Live, Made, ProcessShop, SampleService
from tests.acceptance.scenarios.table import Ending, Scenario, endings
from tests.machine import Machine
from tests.prometheus import PrometheusServer
from tests.support.greeter import RUNNER
from tests.support.repositories import first_commit

from phasegate.flows.views.report import report
from phasegate.infra.crash_points import CRASH_AT
from phasegate.infra.ledger import Event

_PATIENCE_SECONDS = 240.0
_LOOK_SECONDS = 0.01
_DRAIN_SECONDS = 5.0
BASE = """
[project]
test = "sh run-tests.sh {junit}"
[sandbox]
backend = "none"
[grading]
ablation_time = "0s"
coverage = false
base = "warn"
flaky_reruns = 0
plain_process = false
served = false
"""


@dataclass(frozen=True)
class Stopped:
    """State of a run when it stopped, in the words of `Ending`."""

    status: str
    code: int
    serves: str
    effects: str
    verdict: str
    told: str

    def as_designed(self, ending: Ending) -> list[str]:
        """Differences from the designed ending; empty if there are none."""
        wanted = {name: value for name, value in vars(ending).items() if name != "says"}
        found = [
            f"{name} is {getattr(self, name)!r}, not {value!r}"
            for name, value in wanted.items()
            if getattr(self, name) != value
        ]
        rest = self.told
        for said in ending.says:
            if said not in rest:
                found.append(f"`show` does not say {said!r} (in this place): {rest[:3000]}")
            rest = rest.partition(said)[2]
        return found


@dataclass
class Played:
    """A scenario that was played.

    Attributes:
        run: The run's id.
        stops: Its state each time it stopped.
        events: Its events in the ledger.
        seen: The observer's answers.
        fault_at: The time of a fault outside the release, in seconds since the epoch; 0 if the release is at fault.
        old: The release that was current before.
        new: The release of the change.
    """

    run: str
    old: Made
    new: Made
    stops: list[Stopped] = field(default_factory=list[Stopped])
    events: list[Event] = field(default_factory=list[Event])
    seen: list[Seen] = field(default_factory=list[Seen])
    fault_at: float = 0.0


class ScenarioRun:
    """A scenario under way, as acts use it."""

    def __init__(self, stage: ScenarioRunner, scenario: Scenario, shop: SampleService) -> None:
        """Begin."""
        self.stage, self.scenario, self.shop, self.run, self.fault_at = stage, scenario, shop, "", 0.0
        self.served_before = next(iter(shop.processes().values())) if isinstance(shop, ProcessShop) else Path()

    @property
    def prometheus(self) -> PrometheusServer:
        """The Prometheus that measures."""
        return self.stage.prometheus

    def phasegate(self, *arguments: str | Path) -> Any:
        """Run the installed command."""
        return self.stage.machine.phasegate(*arguments)

    def until_event(self, kind: str, text: str) -> None:
        """Wait until the ledger has an event of this kind whose payload holds this text."""
        ledger = self.stage.machine.ledger()
        try:
            self.stage.until(
                lambda: any(
                    event.kind == kind and text in json.dumps(event.payload) for event in ledger.events(self.run)
                ),
                f"{kind} {text}",
            )
        finally:
            ledger.close()

    def until_waiting(self, gate: str, number: int) -> None:
        """Wait until the run waits at a gate, for the nth time."""
        ledger = self.stage.machine.ledger()

        def waits() -> bool:
            open_gates = [(one.gate, one.number) for one in ledger.gates.waiting(self.run)]
            return open_gates == [(gate, number)] and ledger.runs.get(self.run).status == "waiting"

        try:
            self.stage.until(waits, f"gate {gate} {number}")
        finally:
            ledger.close()


class ScenarioRunner:
    """A machine, one target on it, and a Prometheus.

    Attributes:
        machine: With its engine.
        prometheus: It scrapes the service.
        interval: Of every metric.
    """

    def __init__(
        self,
        machine: Machine,
        open_shop: Callable[[Path], SampleService],
        prometheus: PrometheusServer,
        folder: Path,
        *,
        interval: timedelta,
    ) -> None:
        """Prepare; the first release is made when the first scenario is played."""
        self.machine, self.prometheus, self.interval = machine, prometheus, interval
        self._open_shop, self._folder = open_shop, folder
        self._shop: SampleService | None = None
        self._served: Made | None = None
        self._opened: list[SampleService] = []
        self._top = folder
        self._count = 0

    def play(self, scenario: Scenario) -> Played:
        """Play a scenario, and look at where it stands each time it has stopped."""
        if self._shop is None:
            self._open()
        shop, self._shop = self._shop, None
        assert shop is not None
        self.prometheus.start()
        git(self._top, "merge", "-q", "--ff-only", "phasegate/main")
        self._write_policy(scenario, shop)
        assert self._served is not None
        assert shop.live() == Live(*[frozenset({self._served.version})] * 2)
        self._count += 1
        played = Played("", self._served, Made(scenario.behaviour, str(self._count)))
        play = ScenarioRun(self, scenario, shop)
        with ExitStack() as outside:
            observer = outside.enter_context(Outside(shop.url, "/version"))
            outside.enter_context(Discovery(shop, self.prometheus))
            for _ in range(scenario.customers):
                outside.enter_context(Outside(shop.url, "/orders"))
            self._play(play, played)
            played.seen, played.fault_at = observer.seen, play.fault_at
        ledger = self.machine.ledger()
        played.events = ledger.events(played.run)
        ledger.audit(played.run)
        ledger.close()
        self._shop, self._served = shop, played.new if played.stops[-1].serves == "new" else played.old
        return played

    def require(self, scenario: Scenario) -> Played:
        """Play a scenario, which has to end as it says; if it does not, the next begins in a fresh repository."""
        played = self.play(scenario)
        assert self._shop is not None
        trouble = [
            f"stop {number}: {found}"
            for number, (stopped, ending) in enumerate(
                zip(played.stops, endings(scenario, self._shop.target), strict=True), 1
            )
            for found in stopped.as_designed(ending)
        ]
        if trouble:
            self._shop = None
        assert not trouble, "\n".join(trouble)
        return played

    def close(self) -> None:
        """Stand in for nothing any more."""
        for shop in self._opened:
            shop.close()

    def until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not ready():
            assert time.monotonic() < deadline, f"not seen: {what}"
            time.sleep(_LOOK_SECONDS)

    def _play(self, play: ScenarioRun, played: Played) -> None:
        scenario = play.scenario
        order = self._order(scenario, play.shop, played)
        if scenario.crash_at:
            self._restart_engine({CRASH_AT: scenario.crash_at})
        if scenario.act is None and not scenario.crash_at:
            done = self.machine.phasegate(*order)
            assert done.code in {0, 1, 3, 4, 5}, done.err + done.out
            play.run = played.run = done.json["id"]
        else:
            started = self.machine.phasegate(*order, "--detach")
            assert started.code == 0, started.err + started.out
            play.run = played.run = started.json["id"]
            if scenario.crash_at:
                self._until_engine_is_gone()
                assert self.machine.phasegate("up", "--detach").code == 0
            if scenario.act is not None:
                scenario.act(play)
            done = self.machine.phasegate("watch", play.run)
        played.stops.append(self._stopped(play, played, done.code))
        for then in scenario.then:
            if then.mending is not None:
                then.mending(play)
            said = self.machine.phasegate(then.command, play.run)
            assert said.code == 0, said.err + said.out
            done = self.machine.phasegate("watch", play.run)
            played.stops.append(self._stopped(play, played, done.code))

    def _stopped(self, play: ScenarioRun, played: Played, code: int) -> Stopped:
        ledger = self.machine.ledger()
        shown = report(ledger, play.run).document()
        ledger.close()
        told = self.machine.phasegate("show", play.run).out
        made = [one["artifact"] for one in shown["stages"] if one["artifact"]]
        measured = [one["content"] for one in made if one["kind"] == "health-report"]
        return Stopped(
            status=shown["status"],
            code=code,
            serves=self._serving(play.shop, played),
            effects=", ".join(f"{one['kind']} {one['status']}" for one in shown["effects"]),
            verdict=measured[-1]["verdict"] if measured else "",
            told=" ".join(told.split()),
        )

    def _open(self) -> None:
        """A fresh repository, and its first release."""
        self._count += 1
        self._top = self._folder / f"shop-{self._count}"
        shop = self._open_shop(self._top)
        self._opened.append(shop)
        version = str(self._count)
        files = {**shop.files(version), "run-tests.sh": RUNNER, "tests/plain.sh": "test -s run-tests.sh\n"}
        first_commit(self._top, files)
        first = Scenario("the first release", "well", Ending("done", 0, "new", "", ()))
        self._write_policy(first, shop)
        self._count += 1
        played = Played("", Made("well", version), Made("well", str(self._count)))
        done = self.machine.phasegate(*self._order(first, shop, played))
        assert done.code == 0, done.err + done.out
        self._shop, self._served = shop, played.new

    def _write_policy(self, scenario: Scenario, shop: SampleService) -> None:
        metrics = scenario.metrics.replace("PROMETHEUS", self.prometheus.url)
        metrics = metrics.replace("INTERVAL", f"{self.interval.total_seconds() * 1000:.0f}ms")
        policy = BASE + shop.policy(scenario.deploy.get(shop.target, "")) + metrics
        path = self._top / "phasegate.toml"
        if not path.exists() or path.read_text() != policy:
            path.write_text(policy)
            git(self._top, "add", "phasegate.toml")
            git(self._top, "commit", "-qm", "A policy")

    def _order(self, scenario: Scenario, shop: SampleService, played: Played) -> list[str | Path]:
        ticket, script = self._folder / "ticket.md", self._folder / "script.yaml"
        ticket.write_text(f"---\ntitle: Version {played.new.version}\n---\nThe next one.\n")
        script.write_text(yaml.safe_dump(_script(shop, played)))
        order: list[str | Path] = ["run", ticket, "--repo", self._top, "--rehearse", script, "--json"]
        return [*order, *(word for gate in scenario.gates for word in ("--approve", gate))]

    def _serving(self, shop: SampleService, played: Played) -> str:
        """The live version in the words of `Ending`, after draining; all that is live if it is not one version."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (live := shop.live()).answers != live.runs and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        names = {played.old.version: "old", played.new.version: "new"}
        if live.answers != live.runs or len(live.runs) > 1:
            return repr(live)
        return next((names.get(version, repr(live)) for version in live.runs), "nothing")

    def _restart_engine(self, environment: dict[str, str]) -> None:
        """Replace the engine by another one, with more in its environment."""
        if (self.machine.home / "engine.json").exists():
            self._kill_engine()
        armed = replace(self.machine, environment={**self.machine.environment, **environment})
        started = armed.phasegate("up", "--detach")
        assert started.code == 0, started.err + started.out

    def _kill_engine(self) -> None:
        os.kill(self._engine(), signal.SIGKILL)
        self._until_engine_is_gone()

    def _until_engine_is_gone(self) -> None:
        engine = self._engine()
        self.until(lambda: not _lives(engine), "the engine's end")

    def _engine(self) -> int:
        engine = json.loads((self.machine.home / "engine.json").read_text())
        pid: int = engine["process"]["pid"]
        return pid


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  one read
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _script(shop: SampleService, played: Played) -> dict[str, Any]:
    """Script of a run's agents."""
    version = played.new.version
    sealed = {"path": f"tests/version-{version}.sh", "content": shop.acceptance(version), "criteria": ["AC1"]}
    criteria = [{"id": "AC1", "statement": f"it is version {version}"}]
    return {
        "version": 1,
        "stages": {
            "prd": [{"finish": {"title": f"Version {version}", "acceptance_criteria": criteria}}],
            "implementation": [
                *shop.change(played.old, played.new),
                {"finish": {"summary": f"version {version}"}},
            ],
            "testing": [{"finish": {"files": [sealed]}}],
            "deployment": [{"finish": {"summary": "The next one.", "steps": ["cut over"], "checks": ["GET /"]}}],
            "monitoring": [{"finish": {"summary": "It is worse.", "suspected_hunk": "the version"}}],
        },
    }
