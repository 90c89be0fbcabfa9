"""Summaries of artifacts in a few words, for lines and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def summary(kind: str, made: Mapping[str, Any]) -> str:
    """Sum up an artifact's stored content in a few words, not yet sanitized; falls back to its kind."""
    tell = _SUMMARIES.get(kind)
    return tell(made) if tell else kind.replace("-", " ")


def _counted(things: list[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _grade(made: Mapping[str, Any]) -> str:
    missed = [criterion["id"] for criterion in made["criteria"] if criterion["status"] == "failed"]
    missed += [_counted(made["regressions"], "regression")] if made["regressions"] else []
    return f"grade {made['verdict']}{': ' if missed else ''}{', '.join(missed)}"


def _change(made: Mapping[str, Any]) -> str:
    refused = f", {_counted(made['refused'], 'protected path')} left out" if made["refused"] else ""
    return f"{_counted(made['files'], 'file')} changed{refused}"


def _sealed(made: Mapping[str, Any]) -> str:
    parts = [_counted(made["files"], "sealed test file")]
    parts += [_counted(made["amends"], "obsolete test")] if made.get("amends") else []
    parts += [f"{_counted(made['declined'], 'request')} declined"] if made.get("declined") else []
    return ", ".join(parts)


_SUMMARIES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "prd": lambda made: f"PRD with {', '.join(criterion['id'] for criterion in made['acceptance_criteria'])}",
    "sealed-tests": _sealed,
    "change-set": _change,
    "evidence": _grade,
    "release-plan": lambda made: f"plan of {_counted(made['steps'], 'step')}",
    "candidate": lambda made: f"candidate {made['release_id']}",
    "release": lambda made: f"release {made['release_id']}",
    "health-report": lambda made: f"service level {made['verdict']}",
    "incident": lambda made: f"incident: {made['summary']}",
}
