"""Theatres: each plays scenes one after the other, with an engine that can be killed at any named point."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.crash.promises import PlayedRun, play_in
from tests.crash.scenes import SCENES, write_project

from phasegate.infra.ledger import Ledger
from phasegate.infra.settings import Settings

KILLED = -9
PLAYS = 5
LANES = 2
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Point:
    """A moment of a scene: the `count`th time that a crash point is reached."""

    scene: str
    name: str
    count: int

    def __str__(self) -> str:
        """As the failure names it."""
        return f"{self.scene}, {self.name}:{self.count}"


class CrashRunner:
    """A process that plays scenes (`tests.crash.engine`)."""

    def __init__(self) -> None:
        """Start it; it takes seconds to import everything, once."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.engine"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, folder: Path, scene: str, *, at: str = "", log: Path | None = None) -> int:
        """Be the engine until the run has stopped, or until the point.

        Returns:
            The exit code of the process.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"folder": str(folder), "scene": scene, "at": at, "log": str(log or "")}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@dataclass
class CrashHarness:
    """The theatres, and each scene as it goes when nothing goes wrong."""

    scratch: Path
    theatres: SimpleQueue[CrashRunner] = field(default_factory=SimpleQueue[CrashRunner])
    points: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    facts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def in_parallel(self, work: Callable[[Any], list[str]], items: Sequence[Any]) -> dict[str, list[str]]:
        """Do a piece of work for each item, as many at a time as there are theatres.

        Returns:
            The findings by item.
        """
        with ThreadPoolExecutor(LANES) as pool:
            return {str(item): found for item, found in zip(items, pool.map(work, items), strict=True) if found}

    def rehearse(self, scene: str) -> list[str]:
        """Play a scene without a crash, and remember which points it reached."""
        play, before = self.stage(scene)
        log = play.folder / "points.log"
        code = self.live(play, scene, log=log)
        self.points[scene] = log.read_text().splitlines()
        self.facts[scene] = play.facts() if code == 0 else {}
        return self.verdict(play, before, scene, [] if code == 0 else [f"the engine ended with {code}"])

    def crash(self, scene: str, *points: str) -> list[str]:
        """Play a scene, killed -9 at each of the points in turn.

        The faster of two attempts at work at once differs from play to play, and with it a point here and there. A play
        that does not come to the first point must end well, and another one follows it.

        Returns:
            The promises that do not hold in the end.
        """
        for _ in range(PLAYS):
            play, before = self.stage(scene)
            if (code := self.live(play, scene, at=points[0])) != 0:
                return self._afterwards(play, before, scene, points, code)
            if found := self.verdict(play, before, scene, []):
                return found
        return [f"{points[0]}: not reached in {PLAYS} plays"]

    def _afterwards(
        self, play: PlayedRun, before: dict[str, object], scene: str, points: Sequence[str], code: int
    ) -> list[str]:
        """The failures of a play whose first life ended with a code."""
        trouble: list[str] = []
        for place, point in enumerate(points):
            if place:
                code = self.live(play, scene, at=point)
            if code not in {KILLED, 0 if place else KILLED}:
                trouble.append(f"{point}: not killed there, but ended with {code}")
            if point.startswith(("before:make:", "after:make:")) and not play.intends(point.split(":")[2]):
                trouble.append(f"{point}: P3 nothing on record said that it was about to be made")
        if (code := self.live(play, scene)) != 0:
            trouble.append(f"the engine that came after ended with {code}")
        return self.verdict(play, before, scene, trouble)

    def live(self, play: PlayedRun, scene: str, *, at: str = "", log: Path | None = None) -> int:
        """Run one life of a play's engine, on any theatre that is free.

        Returns:
            The exit code.
        """
        theatre = self.theatres.get()
        try:
            return theatre.live(play.folder, scene, at=at, log=log)
        finally:
            self.theatres.put(theatre)

    def stage(self, scene: str) -> tuple[PlayedRun, dict[str, object]]:
        """A fresh play of a scene, and the user's repository as it is before it."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        template = self.scratch / f"template {scene}"
        shutil.copytree(template, folder, dirs_exist_ok=True, symlinks=True)
        play = play_in(folder, scene)
        play.git("update-index", "--refresh", "-q", check=False)
        return play, play.repository()

    def verdict(self, play: PlayedRun, before: dict[str, object], scene: str, trouble: list[str]) -> list[str]:
        """The failures of a play that has ended; if there are any, its folder is kept until the tests end."""
        found = trouble or play.broken(before, self.facts[scene])
        if found:
            log = play.folder / "engine.log"
            found = [*found, f"{play.folder}: {log.read_text()[-1500:] if log.exists() else ''}"]
        play.stop_services()
        if not found:
            shutil.rmtree(play.folder)
        return found


@pytest.fixture(scope="session")
def house() -> Iterator[CrashHarness]:
    """A house whose every scene was played once, undisturbed."""
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        place = memory if os.access(memory, os.W_OK) else None
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="phasegate-crash-", dir=place)))
        house = CrashHarness(scratch)
        for scene in SCENES.values():
            template = scratch / f"template {scene.name}"
            write_project(template, scene)
            settings = Settings(home=template / "home")
            settings.create_folders()
            Ledger.open(settings.database_url).close()
        for _ in range(LANES):
            theatre = CrashRunner()
            stack.callback(theatre.close)
            house.theatres.put(theatre)
        assert house.in_parallel(house.rehearse, list(SCENES)) == {}
        yield house


@pytest.fixture
def rng() -> random.Random:
    """Seeded; another seed with CRASH_SEED."""
    return random.Random(int(os.environ.get("CRASH_SEED", "20261122")))
