"""Report of the benchmarks: a table for people, and every raw number."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.dbos_contender import PYTHON, Dbos
from benchmarks.goals import GOALS
from benchmarks.measures import MEASURES, Measure, Row
from benchmarks.phasegate_contender import Phasegate
from benchmarks.prefect_contender import Prefect

FOLDER = Path(__file__).parent


def machine() -> dict[str, str]:
    """The machine that was measured on, and its load."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    code = "import importlib.metadata as m; print(m.version('dbos'))"
    dbos = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    versions = {name: importlib.metadata.version(name) for name in ("phasegate", "prefect", "langgraph")}
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="minutes"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(f"{name} {version}" for name, version in {**versions, "dbos": dbos}.items()),
    }


def keep(name: str, rows: list[Row], where: Mapping[str, str], command: str, folder: Path) -> str:
    """Replace a measure's numbers in a folder, and write the tables again.

    Returns:
        The short table, as it stands in docs/performance.md.
    """
    raw = folder / "results.json"
    known: dict[str, Any] = json.loads(raw.read_text()) if raw.exists() else {}
    known[name] = {"machine": dict(where), "command": command, "rows": [asdict(row) for row in rows]}
    raw.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    (folder / "RESULTS.md").write_text(table(known))
    return summary(known)


def summary(known: Mapping[str, Any]) -> str:
    """A row for each goal that was measured."""
    lines = ["| | phasegate | stock Prefect | DBOS (SQLite) | goal | met |", "| --- | --- | --- | --- | --- | --- |"]
    for goal in (goal for goal in GOALS if goal.measure in known):
        figures = {row["contender"]: _figures(Row(**row)) for row in known[goal.measure]["rows"]}
        ours = figures.get(f"{Phasegate.name}{goal.variant}", {})
        cells = [goal.said(ours), *(goal.said(figures.get(name, {})) for name in (Prefect.name, Dbos.name))]
        met = goal.holds(ours, figures.get(Prefect.name, {}))
        lines.append(" | ".join([f"| {goal.title}", *cells, goal.words, f"{'yes' if met else 'no'} |"]))
    return "\n".join(lines) + "\n"


def table(known: Mapping[str, Any]) -> str:
    """All measures as Markdown."""
    lines = [
        "# The speed of the bones",
        "",
        "Written by `make bench`; the raw numbers are in `results.json`. Everybody works on the same machine, one",
        "after the other. A figure with several samples is their median; the ratio compares the figure in bold with",
        "phasegate's: above 1, phasegate is better by that factor. Peers do empty steps, phasegate whole stages.",
        "",
        *summary(known).splitlines(),
    ]
    for name in (name for name in MEASURES if name in known):
        rows = [Row(**row) for row in known[name]["rows"]]
        lines += ["", f"## {MEASURES[name].title}", "", f"Goal: {MEASURES[name].goal}.", ""]
        lines += _rows(MEASURES[name], rows)
        where = ", ".join(f"{key} {value}" for key, value in known[name]["machine"].items())
        lines += ["", f"`{known[name]['command']}`: {where}."]
    return "\n".join(lines) + "\n"


def _rows(measure: Measure, rows: list[Row]) -> list[str]:
    figures = [_figures(row) for row in rows]
    names = list(dict.fromkeys([measure.headline, *(name for row in figures for name in row)]))
    head = [f"**{name}**" if name == measure.headline else name for name in names]
    lines = [" | ".join(["| contender", *head, "ratio |"]), "|" + " --- |" * (len(names) + 2)]
    ours = figures[0].get(measure.headline)
    for row, own in zip(rows, figures, strict=True):
        cells = [_number(own[name]) if name in own else "" for name in names]
        lines.append(" | ".join([f"| {row.contender}", *cells, f"{_ratio(measure, ours, own)} |"]))
    return lines + [f"\n- {row.contender}: {remark}." for row in rows for remark in row.remarks]


def _figures(row: Row) -> dict[str, float]:
    return {name: median(samples) for name, samples in row.samples.items()} | row.facts


def _ratio(measure: Measure, ours: float | None, own: Mapping[str, float]) -> str:
    theirs = own.get(measure.headline)
    if not ours or not theirs:
        return ""
    return f"{theirs / ours if measure.smaller_is_better else ours / theirs:.3g}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
