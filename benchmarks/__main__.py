"""`python -m benchmarks [NAME…]`: measure phasegate beside its peers, and write the tables.

All of it takes about twenty minutes. Run from the repository's root, with `.venv-bench/` made by `make bench`.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from benchmarks.measures import FULL, MEASURES, QUICK
from benchmarks.report import FOLDER, keep, machine

_ALONE = {
    "cli": "benchmarks.cli",
    "loop": "benchmarks.loop.measure",
    "rollback": "benchmarks.rollback",
    "grading": "benchmarks.grading",
}
_OF_NAMES = {
    "stalls": "benchmarks.stalls.measure",
    "suspicions": "benchmarks.suspicions",
}
"""Measures that take further names."""


def main() -> None:
    """Take the measures that are asked for; all, if none is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=", ".join([*MEASURES, f"or {', '.join(_ALONE)}, suspicions or stalls, each alone"]),
    )
    parser.add_argument("--quick", action="store_true", help="as little as shows that all of it works; nothing is kept")
    arguments = parser.parse_args()
    names: list[str] = arguments.names or list(MEASURES)
    if names[0] in _OF_NAMES:
        importlib.import_module(_OF_NAMES[names[0]]).measure(names[1:])
        return
    if len(names) == 1 and names[0] in _ALONE:
        importlib.import_module(_ALONE[names[0]]).measure()
        return
    if unknown := set(names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-", ignore_cleanup_errors=True) as scratch:
        results, scale = (Path(scratch), QUICK) if arguments.quick else (FOLDER, FULL)
        table = ""
        for name in names:
            where = machine()
            rows = MEASURES[name].take(Path(scratch) / name, scale)
            table = keep(name, rows, where, f"python -m benchmarks {name}", results)
            for row in rows:
                print(name, row, flush=True)
    print(table)


if __name__ == "__main__":
    main()
