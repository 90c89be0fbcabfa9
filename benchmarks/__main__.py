"""`python -m benchmarks [NAME…]`: measure phasegate beside its peers, and write the table.

All of it takes half an hour. Run from the repository's root, with `.venv-bench/` made by `make bench`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.loop.measure import measure
from benchmarks.measures import MEASURES
from benchmarks.report import keep, machine


def main() -> None:
    """Take the measures that are asked for; all, if none is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*MEASURES, "or loop alone"]))
    names: list[str] = parser.parse_args().names or list(MEASURES)
    if names == ["loop"]:
        measure()
        return
    if unknown := set(names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    for name in names:
        where = machine()
        with tempfile.TemporaryDirectory(prefix="phasegate-bench-", ignore_cleanup_errors=True) as folder:
            rows = MEASURES[name].take(Path(folder))
        keep(name, rows, where, f"python -m benchmarks {name}")
        for row in rows:
            print(name, row)


if __name__ == "__main__":
    main()
