"""Hunk ablation: each piece of a change is taken out alone; if every test still passes, no test guards that piece.

Called by `grade`, for a change that passed. Pieces are tried at the same time, as many as there are processors, within
the time that policy gives; outcomes are kept by the tree that was tested, so another attempt does not try the same
again. It must not know what becomes of the outcome.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from phasegate.infra.artifacts import sha256
from phasegate.infra.grading.added import Hunk, without
from phasegate.infra.grading.evidence import Ablation, Place
from phasegate.infra.grading.runner.stored_files import store
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.test_run import SERVICE_FAILED, Bench, Checkout
from phasegate.infra.grading.tree.graded_tree import GradedTree, commit_with, product_hunks
from phasegate.infra.workspace.change_set import readable

_NO_CODE = re.compile(
    r".*\.(?:md|rst|txt|adoc|html|svg|png|jpe?g|gif|webp|ico|pdf|lock|gitignore|editorconfig)"
    r"|(?:.*/)?(?:LICENSE|CHANGELOG|README|AUTHORS|CODEOWNERS|NOTICE|\.env\w*)(?:\..*)?|docs?/.*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Piece:
    """A hunk, and the tree without it."""

    hunk: Hunk
    tree: str

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(path=readable(self.hunk.path), start=self.hunk.start, end=self.hunk.end)


async def ablate(
    bench: Bench, base: str, graded: GradedTree, sealed: SealedTests, passing: Collection[tuple[str, str | None]]
) -> tuple[Ablation, frozenset[str]]:
    """Take out each piece of a change that passed.

    Args:
        bench: Where tests are run; its policy holds the time.
        base: The base commit.
        graded: What the tests were run on.
        sealed: The sealed tests.
        passing: Id and file of each test that passes with the whole change.

    Returns:
        The outcome, and the ids of the tests that failed without some piece.
    """
    pieces, left_out = await asyncio.to_thread(_pieces, bench, base, graded)
    outcomes: dict[int, frozenset[str]] = {}
    if pieces:
        bench.on_step(f"taking out each of {len(pieces)} pieces of the change")
    quiet = bench.quiet
    places = asyncio.Semaphore(1 if bench.sandbox.name == "none" else len(os.sched_getaffinity(0)))

    async def attempt(number: int, piece: Piece) -> None:
        async with places:
            outcome = await _outcome(quiet, number, piece, graded, sealed, passing)
            if outcome is not None:
                outcomes[number] = outcome

    try:
        async with asyncio.timeout(bench.policy.grading.ablation_time.total_seconds()), asyncio.TaskGroup() as group:
            for number, piece in enumerate(pieces):
                group.create_task(attempt(number, piece))
    except TimeoutError:
        pass  # what was not tried is said
    red = frozenset[str]().union(*outcomes.values())
    ablation = Ablation(
        guarded=sum(bool(outcome) for outcome in outcomes.values()),
        unguarded=tuple(pieces[number].place for number in sorted(outcomes) if not outcomes[number]),
        untried=tuple(piece.place for number, piece in enumerate(pieces) if number not in outcomes),
        left_out=tuple(map(readable, left_out)),
    )
    return ablation, red


def _pieces(bench: Bench, base: str, graded: GradedTree) -> tuple[list[Piece], list[str]]:
    found: list[Piece] = []
    left_out: dict[str, None] = {}
    read = bench.repository.read_file
    for hunk in product_hunks(bench.repository, base, graded):
        if _NO_CODE.fullmatch(hunk.path):
            left_out[hunk.path] = None
            continue
        before, after = read(base, hunk.path), read(graded.tree, hunk.path)
        content = without(hunk, before, after or b"")
        if hunk.start and _same_code(hunk.path, content, after):
            left_out[hunk.path] = None
            continue
        whole = hunk.start == 0
        contents: Mapping[str, bytes] = {} if whole or content is None else {hunk.path: content}
        back = [hunk.path] if whole else []
        found.append(Piece(hunk, commit_with(bench.repository, graded.tree, contents, base=base, reinstated=back)))
    with_pieces = {piece.hunk.path for piece in found}
    return found, [path for path in left_out if path not in with_pieces]


async def _outcome(
    bench: Bench,
    number: int,
    piece: Piece,
    graded: GradedTree,
    sealed: SealedTests,
    passing: Collection[tuple[str, str | None]],
) -> frozenset[str] | None:
    """The ids of the tests that fail without a piece; `None` if a service did not come up, so that it was not tried."""
    key = sha256(f"{piece.tree} {sealed.digest} {bench.policy.digest} {bench.sandbox.name} {sorted(map(str, passing))}")
    stored = bench.scratch.parent / f"ablated-{key.removeprefix('sha256:')[:32]}"
    if (known := _stored(stored)) is not None:
        return known
    run = await bench.run(Checkout(f"without-{number}", piece.tree, graded.belongs_to_tests, sealed, origin="change"))
    if run.problem == SERVICE_FAILED:
        return None
    still = {case.key for case in run.cases if case.status == "passed"}
    red = sorted({test for test, file in passing if (test, file) not in still})
    store(stored, json.dumps(red).encode())
    return frozenset(red)


def _stored(path: Path) -> frozenset[str] | None:
    """An outcome on record; `None` if there is none, or it was cut off while it was written."""
    try:
        return frozenset(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return None


def _same_code(path: str, one: bytes | None, other: bytes | None) -> bool:
    """Whether two texts are the same program: comments, blank lines and Python's docstrings do not count."""
    if one is None or other is None:
        return False
    if not path.endswith(".py"):
        return _without_blanks(one) == _without_blanks(other)
    try:
        return _program(one) == _program(other)
    except (SyntaxError, ValueError):
        return False


def _program(source: bytes) -> str:
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return ast.dump(module)


def _without_blanks(source: bytes) -> list[bytes]:
    lines = (line.strip() for line in source.splitlines())
    return [line for line in lines if line and not line.startswith((b"//", b"#", b"* ", b"/*", b"*/"))]
