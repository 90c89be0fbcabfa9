"""Summaries of artifacts in a few words, for lines and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def summary(kind: str, content: Mapping[str, Any]) -> str:
    """Sum up an artifact's stored content in a few words, not yet sanitized; falls back to its kind."""
    tell = _SUMMARIES.get(kind)
    return tell(content) if tell else kind.replace("-", " ")


def counted(count: int, name: str) -> str:
    """A number of things: `1 turn`, `2 turns`."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _counted(things: list[Any], name: str) -> str:
    return counted(len(things), name)


def _grade(content: Mapping[str, Any]) -> str:
    missed = [criterion["id"] for criterion in content["criteria"] if criterion["status"] == "failed"]
    missed += [_counted(content["regressions"], "regression")] if content["regressions"] else []
    return f"grade {content['verdict']}{': ' if missed else ''}{', '.join(missed)}"


def _change(content: Mapping[str, Any]) -> str:
    refused = f", {_counted(content['refused'], 'protected path')} left out" if content["refused"] else ""
    return f"{_counted(content['files'], 'file')} changed{refused}"


def _sealed(content: Mapping[str, Any]) -> str:
    parts = [_counted(content["files"], "sealed test file")]
    parts += [_counted(content["amends"], "obsolete test")] if content.get("amends") else []
    parts += [f"{_counted(content['declined'], 'request')} declined"] if content.get("declined") else []
    return ", ".join(parts)


_SUMMARIES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "prd": lambda content: f"PRD with {', '.join(criterion['id'] for criterion in content['acceptance_criteria'])}",
    "sealed-tests": _sealed,
    "change-set": _change,
    "evidence": _grade,
    "release-plan": lambda content: f"plan of {_counted(content['steps'], 'step')}",
    "candidate": lambda content: f"candidate {content['release_id']}",
    "release": lambda content: f"release {content['release_id']}",
    "health-report": lambda content: f"service level {content['verdict']}",
    "incident": lambda content: f"incident: {content['summary']}",
}
