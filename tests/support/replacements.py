"""Ways to make a git repository show another content under an id, as somebody who may write to it could.

Each takes the repository's top folder and the commit whose content is to be shown as another commit's. Real git.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from tests.support.repositories import git

EVIL = "Good day, and send me your keys\n"
"""Content of `greeting.txt` in the commit that nobody graded."""


def evil_commit(top: Path, commit: str) -> str:
    """Write a commit on the given one's parent with another greeting; no ref moves.

    Returns:
        Its id.
    """
    blob = _object(top, "blob", EVIL.encode())
    entries = [line for line in git(top, "ls-tree", commit).splitlines() if not line.endswith("\tgreeting.txt")]
    lines = sorted([*entries, f"100644 blob {blob}\tgreeting.txt"], key=lambda line: line.partition("\t")[2])
    listing = _scratch(top, "\n".join(lines).encode() + b"\n")
    tree = git(top, "-c", f"alias.t=!git mktree < '{listing}'", "t")
    return git(top, "commit-tree", tree, "-p", f"{commit}^", "-m", "Evil")


def replace_commit(top: Path, commit: str) -> None:
    git(top, "replace", commit, evil_commit(top, commit))


def replace_commit_by_configuration(top: Path, commit: str) -> None:
    """Git reads this setting after its own `GIT_NO_REPLACE_OBJECTS`, and lets it win."""
    git(top, "config", "core.useReplaceRefs", "true")
    replace_commit(top, commit)


def replace_base(top: Path, commit: str) -> None:
    git(top, "config", "core.useReplaceRefs", "true")
    git(top, "replace", git(top, "rev-parse", f"{commit}^"), evil_commit(top, commit))


def replace_tree(top: Path, commit: str) -> None:
    evil = evil_commit(top, commit)
    git(top, "config", "core.useReplaceRefs", "true")
    git(top, "replace", git(top, "rev-parse", f"{commit}^{{tree}}"), git(top, "rev-parse", f"{evil}^{{tree}}"))


def replace_blob(top: Path, commit: str) -> None:
    evil = evil_commit(top, commit)
    git(top, "config", "core.useReplaceRefs", "true")
    git(top, "replace", git(top, "rev-parse", f"{commit}:greeting.txt"), git(top, "rev-parse", f"{evil}:greeting.txt"))


def replace_by_include(top: Path, commit: str) -> None:
    """The setting comes by way of another file."""
    (top / ".git/more").write_text("[core]\n\tuseReplaceRefs = yes\n")
    git(top, "config", "include.path", "more")
    git(top, "replace", commit, evil_commit(top, commit))


def replace_by_packed_ref(top: Path, commit: str) -> None:
    replace_commit_by_configuration(top, commit)
    git(top, "pack-refs", "--all")


def graft(top: Path, commit: str) -> None:
    """The change's commit gets another parent."""
    (top / ".git/info").mkdir(exist_ok=True)
    (top / ".git/info/grafts").write_text(f"{commit} {evil_commit(top, commit)}\n")


def graft_away(top: Path, commit: str) -> None:
    """The change's commit has no parent."""
    (top / ".git/info").mkdir(exist_ok=True)
    (top / ".git/info/grafts").write_text(f"{commit}\n")


def forge_commit_graph(top: Path, commit: str) -> None:
    """Git's summary of the history names another tree for the commit."""
    trees = [git(top, "rev-parse", f"{name}^{{tree}}") for name in (commit, evil_commit(top, commit))]
    git(top, "update-ref", "refs/heads/shown-in-the-graph", commit)
    git(top, "commit-graph", "write", "--reachable")
    graph = top / ".git/objects/info/commit-graph"
    content = graph.read_bytes()
    old, new = (bytes.fromhex(tree) for tree in trees)
    assert old in content
    graph.chmod(0o644)
    graph.write_bytes(content.replace(old, new))


def forge_object(top: Path, commit: str) -> None:
    """The file of the commit's object has another object's content."""
    evil = evil_commit(top, commit)
    body = b"tree " + git(top, "rev-parse", f"{evil}^{{tree}}").encode()
    body += b"\n" + git(top, "cat-file", "commit", commit).partition("\n")[2].encode() + b"\n"
    file = top / ".git/objects" / commit[:2] / commit[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(b"commit %d\0" % len(body) + body))


def forge_content(top: Path, name: str, *, folder: bool = False) -> None:
    """The file of an object has a content that nobody graded.

    Args:
        top: The repository.
        name: The object's id.
        folder: True if it is a tree's; it is a file's else.
    """
    other = _object(top, "blob", EVIL.encode())
    if folder:
        listing = _scratch(top, f"100644 blob {other}\tgreeting.txt\n".encode())
        other = git(top, "-c", f"alias.t=!git mktree < '{listing}'", "t")
    forged, source = (top / ".git/objects" / each[:2] / each[2:] for each in (name, other))
    forged.chmod(0o644)
    forged.write_bytes(source.read_bytes())


IGNORED: tuple[Callable[[Path, str], None], ...] = (
    replace_commit,
    replace_commit_by_configuration,
    replace_base,
    replace_tree,
    replace_blob,
    replace_by_include,
    replace_by_packed_ref,
    graft,
    graft_away,
    forge_commit_graph,
)
"""Alterations that git itself believes, and phasegate ignores."""


def _object(top: Path, kind: str, content: bytes) -> str:
    return git(top, "hash-object", "-w", "-t", kind, "--no-filters", str(_scratch(top, content)))


def _scratch(top: Path, content: bytes) -> Path:
    path = top / ".git/scratch"
    path.write_bytes(content)
    return path
