"""Hunk ablation: each piece of a change is taken out alone; if every test still passes, no test guards that piece.

Called by `grade`, for a change that passed. Pieces are tried at the same time, as many as there are processors, within
the time that policy gives: first with the tests that load its file, then, if none of these fails, with all. It must not
know what becomes of the outcome.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from phasegate.infra.documents.python_source import read_python
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.grading.evidence import Ablation, Place
from phasegate.infra.grading.guards.piece_runs import PieceRuns
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.diff import Hunk, without
from phasegate.infra.grading.tree.graded_tree import GradedTree, commit_with, product_hunks
from phasegate.infra.workspace.change_set import readable

_BETWEEN_STEPS = 3.0
"""Seconds between two lines about the pieces that were tried."""
_NO_CODE = re.compile(
    r".*\.(?:md|rst|txt|adoc|html|svg|png|jpe?g|gif|webp|ico|pdf|lock|gitignore|editorconfig)"
    r"|(?:.*/)?(?:LICENSE|CHANGELOG|README|AUTHORS|CODEOWNERS|NOTICE|\.env\w*)(?:\..*)?|docs?/.*",
    re.IGNORECASE,
)

MOST_PIECES = 500
"""Pieces of a change that are tried; of a change of more, the first ones."""


@dataclass(frozen=True)
class Piece:
    """A hunk, and what the files are without it.

    Attributes:
        hunk: The hunk.
        contents: Files with another content, by their paths.
        reinstated: Files that are as on the base commit.
    """

    hunk: Hunk
    contents: Mapping[str, bytes]
    reinstated: tuple[str, ...]

    def tree(self, bench: Bench, base: str, graded: GradedTree) -> str:
        """Commit of the graded tree without the hunk."""
        return commit_with(bench.repository, graded.tree, self.contents, base=base, reinstated=self.reinstated)

    @property
    def place(self) -> Place:
        """Place of the piece."""
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
    count = min(len(pieces), MOST_PIECES)
    if pieces:
        bench.on_step(f"taking out {count} {'piece' if count == 1 else 'pieces'} of the change, one by one")
    progress = _PieceProgress(count, bench.on_step)
    runs = PieceRuns.of(bench.quiet, graded, sealed, passing)
    places = asyncio.Semaphore(1 if bench.sandbox.name == "none" else len(os.sched_getaffinity(0)))
    outcomes: dict[int, frozenset[str]] = {}
    survived: set[int] = set()

    async def attempt(number: int, *, with_few: bool) -> None:
        name, piece = f"without-{number}", pieces[number]
        async with places:
            tree = await asyncio.to_thread(piece.tree, bench, base, graded)
            if with_few:
                outcome = await runs.with_few(name, tree, piece.hunk.path)
            else:
                outcome = await runs.with_all(name, tree)
        if outcome is not None and (outcome or not with_few):
            outcomes[number] = outcome
        elif outcome is not None:
            survived.add(number)
        progress.tried(len({*outcomes, *survived}))

    try:
        async with asyncio.timeout(bench.policy.grading.ablation_time.total_seconds()):
            for with_few in (True, False):  # none is said to be guarded by no test before all tests were tried
                async with asyncio.TaskGroup() as group:
                    for number in range(count):
                        if number not in outcomes:
                            group.create_task(attempt(number, with_few=with_few))
    except TimeoutError:
        pass  # what was not tried is said
    red = frozenset[str]().union(*outcomes.values())
    untried = [number for number in range(len(pieces)) if number not in outcomes]
    ablation = Ablation(
        guarded=sum(bool(outcome) for outcome in outcomes.values()),
        unguarded=tuple(pieces[number].place for number in sorted(outcomes) if not outcomes[number]),
        untried=tuple(pieces[number].place for number in untried),
        survived=tuple(pieces[number].place for number in untried if number in survived),
        left_out=tuple(map(readable, left_out)),
    )
    return ablation, red


@dataclass
class _PieceProgress:
    """Progress of taking pieces out: their number so far, and an estimate of the time that is left.

    Attributes:
        count: All pieces.
        on_step: Told in a line, but not more often than people read.
    """

    count: int
    on_step: Callable[[str], None]
    _began: float = field(default_factory=time.monotonic)
    _told: float = field(default_factory=time.monotonic)

    def tried(self, done: int) -> None:
        """Tell that so many pieces were tried."""
        now = time.monotonic()
        if now - self._told < _BETWEEN_STEPS or not 0 < done < self.count:
            return
        self._told = now
        remaining = (now - self._began) / done * (self.count - done)
        self.on_step(f"{done} of {self.count} pieces, about {remaining:.0f} s left")


def _pieces(bench: Bench, base: str, graded: GradedTree) -> tuple[list[Piece], list[str]]:
    pieces: list[Piece] = []
    left_out: dict[str, None] = {}
    read = bench.repository.read_file
    for hunk in product_hunks(bench.repository, base, graded):
        if _NO_CODE.fullmatch(hunk.path):
            left_out[hunk.path] = None
            continue
        if len(pieces) >= MOST_PIECES:
            pieces.append(Piece(hunk, {}, ()))  # not tried, and so not made either
            continue
        before, after = read(base, hunk.path), read(graded.tree, hunk.path)
        content = without(hunk, before, after or b"")
        if hunk.start and _same_code(hunk.path, content, after):
            left_out[hunk.path] = None
            continue
        whole = hunk.start == 0
        contents: Mapping[str, bytes] = {} if whole or content is None else {hunk.path: content}
        pieces.append(Piece(hunk, contents, (hunk.path,) if whole else ()))
    with_pieces = {piece.hunk.path for piece in pieces}
    return pieces, [path for path in left_out if path not in with_pieces]


def _same_code(path: str, text: bytes | None, other: bytes | None) -> bool:
    """True if two texts are the same program: comments, blank lines and Python's docstrings do not count."""
    if text is None or other is None:
        return False
    if not path.endswith(".py"):
        return _without_blanks(text) == _without_blanks(other)
    try:
        return _program(text) == _program(other)
    except DocumentUnreadable:
        return False


def _program(source: bytes) -> str:
    module = read_python(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return ast.dump(module)


def _without_blanks(source: bytes) -> list[bytes]:
    lines = (line.strip() for line in source.splitlines())
    return [line for line in lines if line and not line.startswith((b"//", b"#", b"* ", b"/*", b"*/"))]
