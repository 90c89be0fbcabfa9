"""Promises that hold of a run after any crash: docs/promises.md, by number."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.crash.scenes import BY_HAND, SCENES, STEER, CrashScenario

from phasegate.infra.deploy.process.services import state_of, stop_service
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.errors import TrailBroken
from phasegate.infra.ledger import Ledger, Run
from phasegate.infra.settings import Settings

_QUIET_SECONDS = 10.0
_CONCLUDED = {"approved", "revised", "rejected"}


class PlayedRun:
    """A scene, played in a folder; read after its engine is gone."""

    def __init__(self, folder: Path, scene: CrashScenario) -> None:
        """Look at a folder."""
        self.folder, self.scene, self.settings = folder, scene, Settings(home=folder / "home")
        self.top = folder / "greeter"

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, open."""
        ledger = Ledger.open(self.settings.database_url)
        yield ledger
        ledger.close()

    def git(self, *words: str, check: bool = True) -> str:
        """Answer of git in the user's repository."""
        return subprocess.run(["git", *words], cwd=self.top, check=check, capture_output=True, text=True).stdout

    def repository(self) -> dict[str, object]:
        """All of the user's repository that phasegate must leave as it is."""
        return {
            "status": self.git("status", "--porcelain"),
            "head": self.git("rev-parse", "HEAD"),
            "branch": self.git("symbolic-ref", "HEAD"),
            "main": self.git("rev-parse", "refs/heads/main"),
            "stash": self.git("stash", "list"),
            "index": (self.top / ".git" / "index").read_bytes(),
            "files": {
                str(path.relative_to(self.top)): path.read_bytes()
                for path in sorted(self.top.rglob("*"))
                if path.is_file() and ".git" not in path.parts
            },
        }

    def stop_services(self) -> None:
        """End what the run left serving, as it should."""
        for service in self._services():
            asyncio.run(stop_service(self.settings.home, service))

    def intends(self, kind: str) -> bool:
        """True if an effect of this kind is recorded."""
        with self.ledger() as ledger:
            (run,) = ledger.runs.list()
            return any(effect.kind == kind for effect in ledger.effects.list(run.id))

    def facts(self) -> dict[str, Any]:
        """Facts that a crash must not change, compared with a play that nothing interrupted."""
        with self.ledger() as ledger:
            (run,) = ledger.runs.list()
            return {
                "attempts": sorted(
                    (attempt.id.removeprefix(run.id), attempt.status) for attempt in ledger.attempts.list(run.id)
                ),
                "turns": sorted(
                    f"{one.attempt_id.removeprefix(run.id)} {one.turn}" for one in ledger.exchanges.list(run.id)
                ),
                "gates": [
                    (gate.gate, gate.number, gate.status)
                    for gate in ledger.gates.list(run.id)
                    if gate.status in _CONCLUDED
                ],
                "effects": [(effect.kind, effect.status) for effect in ledger.effects.list(run.id)],
            }

    def broken(self, before: dict[str, object], undisturbed: dict[str, Any]) -> list[str]:
        """The promises that do not hold; empty if all do.

        Args:
            before: `repository` before the play.
            undisturbed: `facts` of a play without a crash.
        """
        with self.ledger() as ledger:
            runs = ledger.runs.list()
            if len(runs) != 1:
                return [f"P1 there are {len(runs)} runs"]
            found = [*self._about_rows(ledger, runs[0]), *self._about_the_world(ledger, runs[0])]
        facts = self.facts()
        numbers = {"attempts": "P2", "turns": "P2", "gates": "P4", "effects": "P3"}
        found += [
            f"{numbers[name]} {name} are {facts[name]}, without a crash {undisturbed[name]}"
            for name in numbers
            if facts[name] != undisturbed[name]
        ]
        if (after := self.repository()) != before:
            found.append(
                f"the user's repository has changed: {[name for name in after if after[name] != before[name]]}"
            )
        return found

    def _about_rows(self, ledger: Ledger, run: Run) -> Iterator[str]:
        if run.status != self.scene.ends:
            yield f"P1 the run is {run.status}, not {self.scene.ends}: {run.reason}"
        events = ledger.events(run.id)
        for number, kind, name in (
            ("P2", "attempt.finished", "attempt"),
            ("P3", "effect.intended", "effect"),
            ("P3", "effect.done", "effect"),
            ("P6", "effect.undone", "effect"),
        ):
            yield from _more_than_once(
                f"{number} {kind}", (str(event.payload[name]) for event in events if event.kind == kind)
            )
        turns = [(event.payload["attempt"], event.payload["turn"]) for event in events if event.kind == "turn.answered"]
        yield from _more_than_once("P2 answered", map(str, turns))
        finished: set[str] = set()
        for event in events:
            if event.kind == "attempt.finished":
                finished.add(event.payload["attempt"])
            elif event.kind == "attempt.started" and event.payload["attempt"] in finished:
                yield f"P2 {event.payload['attempt']} was started again after it had finished"
        decided = [decision.gate_id for decision in ledger.gates.decisions(run.id)]
        yield from _more_than_once("P4 decided", decided)
        asked = [f"{gate.gate} {gate.number}" for gate in ledger.gates.list(run.id) if gate.status in _CONCLUDED]
        yield from _more_than_once("P4 asked", asked)
        if open_gates := ledger.gates.waiting(run.id):
            yield f"P4 gates are left open: {open_gates}"
        undone = [effect.undone_at for effect in ledger.effects.list(run.id) if effect.undone_at]
        if undone != sorted(undone, reverse=True):
            yield f"P6 not undone newest first: {undone}"
        yield from self._about_messages(ledger, run)
        try:
            ledger.audit(run.id)
        except TrailBroken as error:
            yield f"P13 {error.message}"

    def _about_messages(self, ledger: Ledger, run: Run) -> Iterator[str]:
        """A message was delivered once, and the agent's last request holds it once."""
        events = [event for event in ledger.events(run.id) if event.kind == "message.delivered"]
        yield from _more_than_once("P11 delivered", (name for event in events for name in event.payload["messages"]))
        for message in ledger.messages.list(run.id):
            if message.status != "delivered" or message.attempt_id is None:
                yield f"P11 message is {message.status}"
                continue
            last = max(one.turn for one in ledger.exchanges.list(run.id) if one.attempt_id == message.attempt_id)
            said = (ledger.exchanges.request(message.attempt_id, last) or "").count(STEER)
            if said != 1:
                yield f"P11 the agent heard the message {said} times"

    def _about_the_world(self, ledger: Ledger, run: Run) -> Iterator[str]:
        key = f"Phasegate-Effect: {run.id}/merge"
        commits = self.git("log", "--format=%H %P%x00%B%x01", "phasegate/main", check=False).split("\x01")
        merges = [one for one in commits if len(one.partition("\0")[0].split()) == 3]
        reverts = [one for one in commits if f"{key}/undo" in one]
        expected = self.scene.merges if self.scene.serves else 0
        if (len(merges), len(merges) - len(reverts)) != (self.scene.merges, expected):
            yield f"P3 {len(merges)} merges and {len(reverts)} reverts are on the branch"
        if any(f"{key}\n" not in merge for merge in merges):
            yield "P3 a merge does not carry the effect's key"
        if (made := self._migrations()) != list(self.scene.migrations):
            yield f"P3 migrations made are {made}, not {self.scene.migrations}"
        alive, should = 0, int(self.scene.serves)
        for service in self._services():
            state = state_of(ServiceFolder(self.settings.home, service))
            alive += int(state.current is not None and state.current.alive)
            if state.candidates:
                yield f"P3 candidates are left: {state.candidates}"
        if self.scene.rate is not None:
            yield from self._about_the_machines(run)
            should = 0
        if alive != should:
            yield f"P3 {alive} releases serve, not {should}"
        if len(left := self._processes_left(should)) != should:
            yield f"processes are left: {left}"

    def _about_the_machines(self, run: Run) -> Iterator[str]:
        """Broken promises about the machines that the team's own commands release to."""
        world = json.loads((self.folder / "world.json").read_text())
        if world != {**BY_HAND, "current": run.id if self.scene.serves else BY_HAND["current"]}:
            yield f"P3 the machines are {world}"

    def _migrations(self) -> list[str]:
        """Migrations that were made, an entry for each time."""
        made = [path.read_text().splitlines() for path in self.settings.services.glob("*/migrated")]
        return [line.rpartition(" ")[2] for lines in made for line in lines]

    def _services(self) -> list[str]:
        return sorted(path.name for path in self.settings.services.iterdir() if (path / "state.json").exists())

    def _processes_left(self, expected: int) -> list[str]:
        """Command lines of processes that work in the folder, once those that were just ending have ended."""
        deadline = time.monotonic() + _QUIET_SECONDS
        while len(found := list(self._processes())) > expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _processes(self) -> Iterator[str]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    place, said = str((entry / "cwd").readlink()), (entry / "cmdline").read_bytes()
                    if place.startswith(f"{self.folder}/") and said:
                        yield said.replace(b"\0", b" ").decode(errors="replace")


def _more_than_once(what: str, names: Iterable[str]) -> Iterator[str]:
    return (f"{what} {count} times: {name}" for name, count in Counter(names).items() if count > 1)


def play_in(folder: Path, scene: str) -> PlayedRun:
    """A folder as a play of the scene of this name."""
    return PlayedRun(folder, SCENES[scene])
