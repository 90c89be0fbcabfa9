"""Goals for the bones, each with the figure it is read off. Used by the report alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.contender import ENGINE
from benchmarks.measures import DECISION, GOING_ON, ORCHESTRATION, RECOVERY, SUSPENDED

Figures = Mapping[str, float]

_WEIGHT = f"of that {ENGINE}, PSS, MiB"
_NOTHING = float("nan")
"""Compares as false with everything: a goal that was not measured is not met."""


@dataclass(frozen=True)
class Goal:
    """A goal for one figure.

    Attributes:
        title: The subject.
        measure: The measure's name.
        words: The goal.
        said: Writes a contender's figures into a cell; empty figures mean that it did not come that far.
        holds: True if phasegate's figures meet the goal, compared with stock Prefect's.
        variant: The text after phasegate's name in the row that counts.
    """

    title: str
    measure: str
    words: str
    said: Callable[[Figures], str]
    holds: Callable[[Figures, Figures], bool]
    variant: str = ""


def _seconds(name: str) -> Callable[[Figures], str]:
    def said(own: Figures) -> str:
        if name not in own:
            return ""
        return f"{own[name] * 1000:.0f} ms" if own[name] < 1 else f"{own[name]:.1f} s"

    return said


def _at_most(name: str, most: float) -> Callable[[Figures, Figures], bool]:
    return lambda own, _: own.get(name, _NOTHING) <= most


def _waited(own: Figures) -> str:
    if "went on" not in own:
        return ""
    weight = own[_WEIGHT]
    return (
        f"{own['went on']:.0f} went on in time, {own[GOING_ON]:.1f} a second, {weight:.0f} of {own['PSS, MiB']:.0f} MiB"
    )


def _waited_well(own: Figures, prefect: Figures) -> bool:
    light = own.get(_WEIGHT, _NOTHING) < 300
    return light and own.get("still to come") == 0 and own.get(GOING_ON, _NOTHING) >= 2 * prefect.get(GOING_ON, 0)


def _worked(own: Figures) -> str:
    return f"{own['lost or crashed']:.0f} lost, {own['all ended, s']:.0f} s" if "lost or crashed" in own else ""


GOALS = (
    Goal("a decision → the next step, hot", "decision", "10 ms", _seconds(DECISION), _at_most(DECISION, 0.01)),
    Goal(
        "a decision → the next step, suspended", "decision", "1 s", _seconds(DECISION), _at_most(DECISION, 1), SUSPENDED
    ),
    Goal("`kill -9` → the stage runs again", "recovery", "2 s", _seconds(RECOVERY), _at_most(RECOVERY, 2)),
    Goal(
        "the same, its standby killed with it",
        "recovery",
        "2 s",
        _seconds(RECOVERY),
        _at_most(RECOVERY, 2),
        ", no standby",
    ),
    Goal("five stages, orchestration", "orchestration", "1 s", _seconds(ORCHESTRATION), _at_most(ORCHESTRATION, 1)),
    Goal(
        "500 waiting, approved at once", "waiting", "none lost, < 300 MiB, twice Prefect's rate", _waited, _waited_well
    ),
    Goal("50 working at once", "active", "none lost", _worked, lambda own, _: own.get("lost or crashed") == 0),
)
