"""Lines of product code that a base commit's own tests run, measured once per commit and kept.

Called where tests may be thin, and for what a change touches. What the tests' processes leave behind is untrusted; it
decides nothing but whether more tests are asked for. It must not know the PRD or the change.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.grading.base import base_key
from phasegate.infra.grading.coverage import Tracing, traced_language
from phasegate.infra.grading.guards.functions import statement_lines
from phasegate.infra.grading.suspicions import is_code
from phasegate.infra.grading.test_run import Bench, Checkout
from phasegate.infra.grading.tree.patterns import is_test_file

Covered = dict[str, dict[str, list[int]]]
"""Per measured file, lines under `there` and, of these, those under `run`."""
_STORED = TypeAdapter(Covered)


def product_files(bench: Bench, commit: str) -> list[str]:
    """List the files of a commit that hold product code."""
    return [path for path in bench.repository.files(commit) if is_code(path) and not is_test_file(path)]


def source_of(bench: Bench, commit: str, path: str) -> str:
    """A file's text; empty where it is missing."""
    return (bench.repository.read_file(commit, path) or b"").decode(errors="replace")


async def covered_lines(bench: Bench, commit: str) -> Covered:
    """Measure which lines of the product the project's own tests run on a base commit.

    Args:
        bench: Where tests are run; its characterization tests are left out.
        commit: The base commit.

    Returns:
        Per file what was measured; nothing of files in languages that nothing here can measure.

    Effects: a run of the tests, kept by tree, policy and sandbox, and read from there the next time.
    """
    bench = replace(bench, guards=())
    stored = (bench.bases or bench.scratch.parent) / f"covered-{base_key(bench, commit)}.json"
    try:
        return _STORED.validate_json(await asyncio.to_thread(stored.read_bytes))
    except (FileNotFoundError, ValidationError):
        pass  # the first to ask
    paths = [path for path in product_files(bench, commit) if traced_language(path)]
    if not paths:
        return {}
    tracing = Tracing(tuple(paths))
    run = await bench.run(Checkout("base-coverage", commit), tracing)
    covered = {} if run.problem else await asyncio.to_thread(_covered, bench, commit, tracing)
    if covered:
        await asyncio.to_thread(_store, stored, covered)
    return covered


def _covered(bench: Bench, commit: str, tracing: Tracing) -> Covered:
    found: Covered = {}
    for path in tracing.paths:
        if traced_language(path) in tracing.is_measured:
            there = statement_lines(path, source_of(bench, commit, path))
            known = tracing.found.get(path)
            found[path] = {"there": sorted(there), "run": sorted(there & known.run) if known else []}
    return found


def _store(path: Path, covered: Covered) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(_STORED.dump_json(covered))
    fresh.replace(path)
