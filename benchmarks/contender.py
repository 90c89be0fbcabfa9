"""Port of a contender: the same measure runs on each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ENGINE = "the engine"
"""The process that executes the steps."""


@dataclass(frozen=True)
class Shape:
    """Steps of a run.

    Attributes:
        before: The steps up to the gate. `middle` rests for as long as the contender holds it.
        after: The steps behind it; empty if there is no gate.
        seconds: The duration of each step.
    """

    before: tuple[str, ...] = ("first",)
    after: tuple[str, ...] = ("after",)
    seconds: float = 0.0


GATED = Shape()
STRUCK = Shape(before=("first", "middle"))
FIVE = Shape(before=("first",), after=("after", "third", "fourth", "fifth"))
WORKING = Shape(before=("first", "second", "third"), after=(), seconds=1.0)


@dataclass(frozen=True)
class Setup:
    """Configuration of a contender for one measure.

    Attributes:
        folder: A folder of its own, empty.
        shape: The steps of its runs.
        active: The most runs that may work at once; zero for the contender's default.
        hot: True to wait at a gate in the process, where the contender knows the difference.
    """

    folder: Path
    shape: Shape
    active: int = 0
    hot: bool = True


class Contender(Protocol):
    """A running engine, and the way into it from another process."""

    name: str

    def open(self, setup: Setup) -> None:
        """Start everything; returns once it serves."""

    def close(self) -> None:
        """End everything, whatever state it is in."""

    def start(self, count: int) -> list[str]:
        """Begin runs; returns once they are durable."""

    def waiting(self, runs: Sequence[str]) -> int:
        """The number of runs that wait at their gate, ready for an approval."""

    def finished(self, runs: Sequence[str]) -> int:
        """The number of runs that ended well."""

    def gone_on(self, runs: Sequence[str]) -> int:
        """The number of runs that have begun the first step behind their gate."""

    def approve(self, runs: Sequence[str]) -> None:
        """Approve the gates of these runs; returns once that is durable and the engine has been told."""

    def moments(self, runs: Iterable[str]) -> Mapping[str, Mapping[str, list[float]]]:
        """Per run and step, when it began: Unix time, once per time it ran. `done`: when the run ended well."""

    def kill(self) -> None:
        """`kill -9` the processes that execute the steps; those that keep the state stay."""

    def restart(self) -> None:
        """Start again what was killed, and do by hand what never happens by itself."""

    def release(self) -> None:
        """Release the held step."""

    def roots(self) -> list[int]:
        """The processes that do it all, without those they started."""

    def parts(self) -> Mapping[str, int]:
        """The processes that are worth weighing each by itself, by what they are; the engine is `ENGINE`."""

    def remarks(self) -> list[str]:
        """Remarks for readers on how it went."""


@dataclass
class Told:
    """The file a peer's steps write their moments to."""

    path: Path
    _read: int = 0
    _moments: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])

    def moments(self) -> Mapping[str, Mapping[str, list[float]]]:
        """Everything told so far."""
        if not self.path.exists():
            return {}
        with self.path.open() as told:
            told.seek(self._read)
            while (line := told.readline()).endswith("\n"):
                run, what, at = line.split()
                self._moments.setdefault(run, {}).setdefault(what, []).append(float(at))
                self._read = told.tell()
        return self._moments
