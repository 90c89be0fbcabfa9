"""Runs of the tests on a change without one piece of it: with the tests that load the piece's file, and with all.

Called by ablation. Outcomes are kept by the tree that was tested, so another attempt does not run the same again. It
must not know what a piece without a failing test means.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from phasegate.infra.artifacts import sha256
from phasegate.infra.grading.guards.reached_tests import ReachedTests
from phasegate.infra.grading.runner.attribution import paths_of
from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.runner.runner import SERVICE_FAILED, Bench, Checkout, TestRun
from phasegate.infra.grading.runner.stored_files import store
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree


@dataclass
class PieceRuns:
    """Runs without a piece, and what they are compared with.

    Attributes:
        bench: Where.
        graded: The whole change.
        sealed: The sealed tests, which are in every run.
        passing: Tests that pass with the whole change and all tests, each with its file, as far as that is known.
        reached: Test files by what they load.
    """

    bench: Bench
    graded: GradedTree
    sealed: SealedTests
    passing: Mapping[TestKey, str | None]
    reached: ReachedTests
    _compared: dict[frozenset[str], frozenset[TestKey]] = field(
        default_factory=dict[frozenset[str], frozenset[TestKey]]
    )
    _locks: dict[frozenset[str], asyncio.Lock] = field(default_factory=dict[frozenset[str], asyncio.Lock])

    @classmethod
    def of(cls, bench: Bench, graded: GradedTree, sealed: SealedTests, passing: Collection[TestKey]) -> Self:
        """Prepare the runs.

        Args:
            bench: Where.
            graded: The whole change.
            sealed: The sealed tests.
            passing: Tests that pass with the whole change.
        """
        files = bench.repository.files(graded.tree)
        covered = {file.path: file.content for file in (*sealed.files, *bench.guards)}
        known = paths_of((TestCase(name, file, "passed") for name, file in passing), {*files, *covered})
        collected = {path for path in known.values() if path not in covered and path not in graded.product}
        reached = ReachedTests(bench.repository, graded.tree, collected, covered, bench.policy.project.test)
        return cls(bench, graded, sealed, {key: known.get(key) for key in passing}, reached)

    async def with_few(self, name: str, tree: str, path: str) -> frozenset[str] | None:
        """Run the tests that load a piece's file.

        Args:
            name: Name of the run.
            tree: The change without the piece.
            path: The piece's file.

        Returns:
            Ids of tests that fail, or `None` if that was not to be learned or no test can be left out.
        """
        spared = await asyncio.to_thread(self.reached.spared, path)
        if not spared:
            return None
        async with self._locks.setdefault(spared, asyncio.Lock()):
            if spared not in self._compared:
                self._compared[spared] = await self._compare(spared)
        counting = self._compared[spared]
        return await self._red(name, tree, counting, spared) if counting else None

    async def with_all(self, name: str, tree: str) -> frozenset[str] | None:
        """Run all tests.

        Returns:
            Ids of tests that fail, or `None` if a service did not come up.
        """
        return await self._red(name, tree, frozenset(self.passing), frozenset())

    async def _compare(self, spared: frozenset[str]) -> frozenset[TestKey]:
        """Tests that pass with the whole change where others are left out; one may need another to have run before."""
        run = await self._run("change-with-few-tests", self.graded.tree, spared)
        passed = {case.key for case in run.cases if case.status == "passed"}
        return frozenset(key for key, path in self.passing.items() if path and path not in spared and key in passed)

    async def _red(
        self, name: str, tree: str, counting: frozenset[TestKey], spared: frozenset[str]
    ) -> frozenset[str] | None:
        stored = self._place(tree, counting, spared)
        if (known := _stored(stored)) is not None:
            return known
        run = await self._run(name, tree, spared)
        if run.problem == SERVICE_FAILED or (run.problem and spared):
            return None
        still = {case.key for case in run.cases if case.status == "passed"}
        red = sorted({test for test, file in counting if (test, file) not in still})
        store(stored, json.dumps(red).encode())
        return frozenset(red)

    async def _run(self, name: str, tree: str, spared: frozenset[str]) -> TestRun:
        checkout = Checkout(name, tree, self.graded.belongs_to_tests, self.sealed, left_out=spared, origin="change")
        return await self.bench.run(checkout)

    def _place(self, tree: str, counting: frozenset[TestKey], spared: frozenset[str]) -> Path:
        parts = (tree, self.sealed.digest, self.bench.policy.digest, self.bench.sandbox.name)
        few = f" {sorted(spared)}" if spared else ""
        key = sha256(f"{' '.join(parts)} {sorted(map(str, counting))}{few}")
        return self.bench.scratch.parent / f"ablated-{key.removeprefix('sha256:')[:32]}"


def _stored(path: Path) -> frozenset[str] | None:
    """A stored outcome, or `None` if there is none or it was cut off while it was written."""
    try:
        return frozenset(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return None
