"""What an agent changed, as the next stages and the people at the gate see it.

Made by `Workspace.collect`. It must not know how it was collected.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from phasegate.infra.artifacts import Artifact

FileStatus = Literal["added", "modified", "deleted", "type-changed"]


class FileChange(BaseModel):
    """One file of a change; a rename is a deletion and an addition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Relative to the repository's root; bytes that are not UTF-8 are spelled `\\xNN`."""
    status: FileStatus
    added: int | None
    """Lines added; None for a binary file."""
    removed: int | None
    """Lines removed; None for a binary file."""


class ChangeSet(Artifact):
    """One commit on top of the base commit."""

    kind: ClassVar[str] = "change-set"

    base_commit: str
    commit: str
    tree: str
    branch: str
    """The branch that holds the commit."""
    summary: str
    files: tuple[FileChange, ...]
    refused: tuple[str, ...] = ()
    """Protected paths whose change was left out."""
    secrets: tuple[str, ...] = ()
    """Paths whose change was left out because it brought in what looks like a secret, each with what it looks like."""
    diff_digest: str
    """`sha256:…` of the full diff, binary files included."""

    def markdown(self) -> str:
        """The change as the gate page shows it."""
        lines = [self.summary.strip() or "(no summary)", ""]
        lines += [f"`{self.commit[:12]}` on `{self.branch}`, on top of `{self.base_commit[:12]}`", ""]
        if self.files:
            lines += ["| file | what | lines |", "| --- | --- | --- |"]
            lines += [f"| {code(file.path)} | {file.status} | {_lines(file)} |" for file in self.files]
        else:
            lines += ["**Nothing was changed.**"]
        if self.refused:
            lines += ["", "**Left out, because policy protects these paths:**", ""]
            lines += [f"- {code(path)}" for path in self.refused]
        if self.secrets:
            lines += ["", "**Left out, because they bring in what looks like a secret:**", ""]
            lines += [f"- {code(path)}" for path in self.secrets]
        return "\n".join(lines) + "\n"


def readable(path: str) -> str:
    """A path as text that can be stored and shown: undecodable bytes and control characters spelled out."""
    text = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(character if character.isprintable() else _spelled(character) for character in text)


def code(text: str) -> str:
    """Untrusted text, a path mostly, as inline code that ends where it should and breaks no table."""
    return "`" + readable(text).replace("`", "ˋ").replace("|", "¦") + "`"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _lines(file: FileChange) -> str:
    return "binary" if file.added is None else f"+{file.added} −{file.removed}"
