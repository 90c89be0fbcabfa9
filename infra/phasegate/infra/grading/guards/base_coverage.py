"""Outcome and reach of a base commit's own tests: which pass, and which lines of product code they run.

Called where tests may be thin, where more are tried, and for what a change touches. What the tests' processes leave
behind is untrusted: it decides nothing but whether more tests are asked for. It must not know the PRD or the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.grading.base import BaseJudgement, base_key, judge_base
from phasegate.infra.grading.guards.coverage import Tracing, traced_language
from phasegate.infra.grading.guards.functions import statement_lines
from phasegate.infra.grading.runner.runner import Bench, Checkout
from phasegate.infra.grading.runner.stored_files import store
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.patterns import is_test_file

Covered = dict[str, dict[str, list[int]]]
"""Per measured file, lines under `there` and, of these, those under `run`."""
_STORED = TypeAdapter(Covered)
_JUDGED = TypeAdapter(BaseJudgement)
NO_COMMAND = (126, 127)
"""Exit codes of a shell that cannot run a command."""


def product_files(bench: Bench, commit: str) -> list[str]:
    """List the files of a commit that hold product code."""
    return [path for path in bench.repository.files(commit) if is_code(path) and not is_test_file(path)]


def source_of(bench: Bench, commit: str, path: str) -> str:
    """A file's text, or an empty string if it is missing."""
    return (bench.repository.read_file(commit, path) or b"").decode(errors="replace")


async def own_judgement(bench: Bench, commit: str) -> BaseJudgement:
    """Judge a base commit's own tests; a project without any is judged once for all of a run.

    Effects: as of `judge_base`; what tells only that there are no tests is kept beside the scratch folder.
    """
    bench = replace(bench, guards=())
    stored = bench.scratch.parent / f"own-tests-{base_key(bench, commit)}.json"
    try:
        return _JUDGED.validate_json(await asyncio.to_thread(stored.read_bytes))
    except (FileNotFoundError, ValidationError):
        judgement = await judge_base(bench, commit)
        if judgement.first.problem == "no-junit-report" and judgement.first.exit_code not in NO_COMMAND:
            await asyncio.to_thread(store, stored, _JUDGED.dump_json(judgement))
        return judgement


async def covered_lines(bench: Bench, commit: str, paths: Iterable[str]) -> Covered:
    """Measure which lines of some files the project's own tests run on a base commit.

    Args:
        bench: Where tests are run; its characterization tests are left out.
        commit: The base commit.
        paths: The files; to trace more of them would make the tests slower.

    Returns:
        Per file what was measured; nothing of files in languages that nothing here can measure.

    Effects: a run of the tests, kept by tree, policy, sandbox and files, and read from there the next time.
    """
    bench = replace(bench, guards=())
    wanted = tuple(sorted(path for path in paths if traced_language(path)))
    if not wanted:
        return {}
    key = sha256(canonical_json([base_key(bench, commit), *wanted])).removeprefix("sha256:")[:32]
    stored = (bench.bases or bench.scratch.parent) / f"covered-{key}.json"
    try:
        return _STORED.validate_json(await asyncio.to_thread(stored.read_bytes))
    except (FileNotFoundError, ValidationError):
        pass  # the first to ask
    tracing = Tracing(wanted)
    run = await bench.run(Checkout("base-coverage", commit, origin="base"), tracing)
    covered = {} if run.problem else await asyncio.to_thread(_covered, bench, commit, tracing)
    if covered:
        await asyncio.to_thread(store, stored, _STORED.dump_json(covered))
    return covered


def _covered(bench: Bench, commit: str, tracing: Tracing) -> Covered:
    coverage: Covered = {}
    for path in tracing.paths:
        if traced_language(path) in tracing.is_measured:
            there = statement_lines(path, source_of(bench, commit, path))
            known = tracing.found.get(path)
            coverage[path] = {"there": sorted(there), "run": sorted(there & known.run) if known else []}
    return coverage
