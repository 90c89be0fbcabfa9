"""Secrets in an agent's files: which files bring one in, and the same tree without it.

Called by the workspace before anything is kept of a folder. It must not know of refs, or of what is kept. A secret that
a file held at the base already is the repository's own, and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phasegate.infra.secrets import Leak, Secrets
from phasegate.infra.workspace.git import null_terminated

if TYPE_CHECKING:
    from phasegate.infra.workspace.git import Git

_RAW = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames")
_FILES = ("100644", "100755", "120000")


@dataclass(frozen=True)
class Leaking:
    """File that brings a secret in.

    Attributes:
        path: Where it is.
        mode: As git has it.
        blob: Its content's object.
        leaks: What it brings in, in its content or its name.
    """

    path: str
    mode: str
    blob: str
    leaks: tuple[Leak, ...]


def leaking(git: Git, base: str, tree: str, secrets: Secrets, clean: set[str]) -> list[Leaking]:
    """The files of a tree that hold a secret which they did not hold at the base.

    Args:
        git: On the repository.
        base: What the files are compared with.
        tree: The tree.
        secrets: What must not be kept.
        clean: Objects known to hold none; added to.
    """
    words = git.records(*_RAW, base, tree)
    changed = [(meta.lstrip(":").split(" "), path) for meta, path in zip(words[::2], words[1::2], strict=False)]
    files = [(meta, path) for meta, path in changed if meta[1] in _FILES]
    unknown = list(dict.fromkeys(meta[3] for meta, _ in files if meta[3] not in clean))
    held = {blob: _leaks_of(secrets, content) for blob, content in _contents(git, unknown)}
    clean.update(blob for blob, leaks in held.items() if not leaks)
    leaking_files: list[Leaking] = []
    for (mode_before, mode, before, blob, _), path in files:
        leaks = (*held.get(blob, ()), *secrets.mask(path).leaks)
        if leaks and mode_before in _FILES:
            known = {leak for _, content in _contents(git, [before]) for leak in _leaks_of(secrets, content)}
            leaks = tuple(leak for leak in leaks if leak not in known)
        if leaks:
            leaking_files.append(Leaking(path, mode, blob, tuple(dict.fromkeys(leaks))))
    return leaking_files


def masked_tree(git: Git, leaking_files: Sequence[Leaking], secrets: Secrets) -> str:
    """The index as a tree, with masked copies in the place of the files that bring secrets in.

    Args:
        git: With an index that holds them.
        leaking_files: The files.
        secrets: What must not be kept.
    """
    entries: list[str] = []
    for file in leaking_files:
        ((_, content),) = _contents(git, [file.blob])
        text = secrets.mask(content.decode(errors="surrogateescape")).text
        blob = git.line("hash-object", "-w", "--stdin", stdin=text.encode(errors="surrogateescape"))
        entries.append(f"{file.mode} {blob}\t{secrets.mask(file.path).text}")
    paths = null_terminated(file.path for file in leaking_files)
    git.output("update-index", "-z", "--force-remove", "--stdin", stdin=paths)
    git.output("update-index", "-z", "--add", "--replace", "--index-info", stdin=null_terminated(entries))
    return git.line("write-tree")


def _leaks_of(secrets: Secrets, content: bytes) -> tuple[Leak, ...]:
    return secrets.mask(content.decode(errors="surrogateescape")).leaks


def _contents(git: Git, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The objects' contents, by one process."""
    if not blobs:
        return
    written, at = git.output("cat-file", "--batch", stdin=os.fsencode("".join(f"{blob}\n" for blob in blobs))), 0
    for blob in blobs:
        end = written.index(b"\n", at)
        size = int(written[at:end].rpartition(b" ")[2])
        yield blob, written[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
