"""Table of docs/when-it-goes-wrong.md, made from the scenarios: `python -m tests.acceptance.scenarios.page`."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.scenarios.shops import Target
from tests.acceptance.scenarios.table import SCENARIOS, Scenario, endings

PAGE = Path(__file__).parents[3] / "docs" / "when-it-goes-wrong.md"
_MARK = "<!-- From here on: `python -m tests.acceptance.scenarios.page`. -->\n"
"""End of the part of the page that people write."""
_HEADER = """
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
    written, mark, _ = PAGE.read_text().partition(_MARK)
    assert mark, "the page has lost its mark"
    return written + mark + _HEADER + "\n".join(lines) + "\n"


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
