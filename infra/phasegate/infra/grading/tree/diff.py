"""Diff of a change: what it adds and takes away, line by line, and in which pieces.

Called by the findings, by ablation and by the coverage of changed lines. It must not know what any of them looks for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from phasegate.infra.workspace import Repository

_DIFF = ("diff-tree", "-r", "-p", "-U0", "--inter-hunk-context=0", "--no-renames", "--no-ext-diff", "--no-textconv")
_NAMES = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=M")
_FILE = re.compile(rb"^diff --git ", re.MULTILINE)
"""Begin of a file's diff: lines of its content begin with a mark."""
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
LARGEST_TEXT = 4 * 1024**2
"""Bytes of a file whose changes are looked at line by line."""
_BINARY_AFTER = 8000  # bytes without a NUL, as git decides


@dataclass(frozen=True)
class Hunk:
    """A piece of a change: some lines of a file, or a whole file that was added, deleted or is no text."""

    path: str
    start: int
    """First line in the changed file; where nothing is left, the line after which something went; 0: the whole file."""
    end: int
    """Last line, included; before `start` where lines were only taken away."""
    added: tuple[tuple[int, str], ...] = ()
    """Number and text of each added line."""
    removed: tuple[str, ...] = ()
    old_start: int = 0
    """Line of the base commit's file at which it begins, counted from 0; the lines taken away begin there."""

    @property
    def span(self) -> tuple[int, int]:
        """The first and last line that it is about, as they are in the changed file."""
        if not self.start:
            return 1, max(1, len(self.added))
        return min(self.start, self.end), max(self.start, self.end)


def hunks(repository: Repository, base: str, commit: str, letters: Mapping[str, str]) -> Iterator[list[Hunk]]:
    """The pieces of some files' changes, file by file.

    Args:
        repository: Holds both commits.
        base: What the change starts from.
        commit: The change.
        letters: Each file's path, with git's status letter of the file in the change.
    """
    with repository.reading():
        modified = {path for path, letter in letters.items() if letter == "M"}
        diffs = _diffs(repository, base, commit, modified) if modified else {}
        for path, letter in letters.items():
            before, after = (repository.read_file(at, path) or b"" for at in (base, commit))
            if letter == "A":
                yield [Hunk(path, 0, 0, tuple(enumerate(_lines(after), 1)))]
            elif letter != "M" or not (_is_text(before) and _is_text(after)):
                yield [Hunk(path, 0, 0, removed=tuple(_lines(before)))]
            else:
                yield list(_hunks_in(path, diffs[path])) or [Hunk(path, 0, 0)]  # its mode alone


def _diffs(repository: Repository, base: str, commit: str, paths: Collection[str]) -> dict[str, bytes]:
    """The diffs of modified files; by one git process, unless there is one file alone."""
    if len(paths) == 1:
        return {path: repository.git.output(*_DIFF, base, commit, "--", f":(literal){path}") for path in paths}
    listed = repository.git.records(*_NAMES, base, commit)
    output = repository.git.output(*_DIFF, "--diff-filter=M", base, commit)
    begins = [match.start() for match in _FILE.finditer(output)]
    sections = (output[begin:end] for begin, end in pairwise([*begins, len(output)]))
    return {path: section for path, section in zip(listed, sections, strict=True) if path in paths}


def without(hunk: Hunk, before: bytes | None, after: bytes) -> bytes | None:
    """A changed file with one piece of its change taken out, or `None` if the file goes."""
    if hunk.start == 0:
        return before
    kept = after.splitlines(keepends=True)
    old = (before or b"").splitlines(keepends=True)[hunk.old_start : hunk.old_start + len(hunk.removed)]
    first = hunk.start - 1 if hunk.end >= hunk.start else hunk.start
    return b"".join([*kept[:first], *old, *kept[max(first, hunk.end) :]])


def _hunks_in(path: str, diff: bytes) -> Iterator[Hunk]:
    lines = diff.split(b"\n")
    starts = [number for number, line in enumerate(lines) if _HUNK.match(line)]
    for start, following in pairwise([*starts, len(lines)]):
        head = _HUNK.match(lines[start])
        if head is None:
            continue
        old_at, old_count, new_at, new_count = (1 if group is None else int(group) for group in head.groups())
        number, added, removed = new_at, list[tuple[int, str]](), list[str]()
        for line in lines[start + 1 : following]:
            text = line[1:].decode(errors="replace")
            if line.startswith(b"+"):
                added.append((number, text))
            elif line.startswith((b"-", b" ")):
                removed.append(text)
            number += line[:1] in (b"+", b" ")
        begins = old_at - 1 if old_count else old_at
        yield Hunk(path, new_at, new_at + new_count - 1, tuple(added), tuple(removed), begins)


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines() if _is_text(content) else []


def _is_text(content: bytes) -> bool:
    """True if a content's lines are looked at one by one; what is very large counts as a whole."""
    return len(content) <= LARGEST_TEXT and b"\0" not in content[:_BINARY_AFTER]
