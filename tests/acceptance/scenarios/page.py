"""docs/when-it-goes-wrong.md, made from the table: `python -m tests.acceptance.scenarios.page`."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.scenarios.shops import Target
from tests.acceptance.scenarios.table import SCENARIOS, Scenario, endings

PAGE = Path(__file__).parents[3] / "docs" / "when-it-goes-wrong.md"
_HEAD = """# When it goes wrong

What a release meets, and how the run ends. Each row is played end to end through the command line, with a real engine,
on a real API server and on processes of this machine, measured by a real Prometheus where it says metric
(tests/acceptance/scenarios). What is live is read back from outside: by HTTP on the service's address, in the process
table, and from the API server. An arrow leads from where the run stops for a person to where it stands after their
answer. Regenerate with `python -m tests.acceptance.scenarios.page`.

| what happens | on | verdict | the run is | exit code | then serves | effects |
| --- | --- | --- | --- | --- | --- | --- |
"""
_SERVES = {"new": "the change", "old": "the release before", "nothing": "nothing"}


def page() -> str:
    """The page as it has to be."""
    rows = [_row(scenario, target) for scenario in SCENARIOS for target in scenario.targets]
    merged: dict[str, list[str]] = {}
    for (name, *rest), target in rows:
        merged.setdefault(" | ".join([name, "{on}", *rest]), []).append(target)
    lines = [f"| {row.replace('{on}', ', '.join(targets))} |" for row, targets in merged.items()]
    return _HEAD + "\n".join(lines) + "\n"


def _row(scenario: Scenario, target: Target) -> tuple[list[str], Target]:
    stops = endings(scenario, target)
    answers = [f" → `{then.command}` → " for then in scenario.then]
    cells = [
        [ending.verdict or "–" for ending in stops],
        [ending.status for ending in stops],
        [str(ending.code) for ending in stops],
        [_SERVES[str(ending.serves)] for ending in stops],
        [str(ending.effects) for ending in stops],
    ]
    return [scenario.name, *(_along(cell, answers if place == 1 else []) for place, cell in enumerate(cells))], target


def _along(cell: list[str], between: list[str]) -> str:
    if len(set(cell)) == 1:
        return cell[0]
    return "".join(
        text + arrow for text, arrow in zip(cell, [*(between or [" → "] * (len(cell) - 1)), ""], strict=True)
    )


if __name__ == "__main__":
    PAGE.write_text(page())
