"""Change of an agent, as the next stages and the people at the gate see it.

Made by `Workspace.collect`. It must not know how it was collected.
"""

from __future__ import annotations

import operator
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.artifacts import Artifact
from phasegate.infra.described import DescribedModel
from phasegate.infra.sanitize import shows_nothing

FileStatus = Literal["added", "modified", "deleted", "type-changed"]


class FileChange(BaseModel):
    """A file of a change; a rename is a deletion and an addition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Relative to the repository's root; bytes that are not UTF-8 are spelled `\\xNN`."""
    status: FileStatus
    added: int | None
    """Lines added; None for a binary file."""
    removed: int | None
    """Lines removed; None for a binary file."""


class AmendmentRequest(DescribedModel):
    """An existing test and the criterion that makes it obsolete: ids alone, no prose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: str = Field(min_length=1, max_length=500)
    """`path::name` of an existing test (`path::Class::name`; in Python one case: `path::name[case]`), or a snapshot."""
    criterion: str = Field(min_length=1, max_length=40)
    """Id of the acceptance criterion that says so."""

    @property
    def path(self) -> str:
        """File that holds the test."""
        return self.test.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's name in its file; empty for a snapshot file."""
        return self.test.partition("::")[2]


class ChangeSet(Artifact):
    """A commit on top of the base commit."""

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
    authority_files: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)
    """Changed paths that decide who decides; left out of the JSON if there are none. A gate then asks an admin."""
    left_out: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)
    """Sockets, pipes and devices in the worktree, which no commit can hold; left out of the JSON if there are none."""
    asks_to_amend: tuple[AmendmentRequest, ...] = Field(default=(), exclude_if=operator.not_)
    """Existing tests that the implementer asks the authoring agent to amend; left out of the JSON if there are none."""

    @property
    def needs_person(self) -> bool:
        """True if it changes who decides."""
        return bool(self.authority_files)

    def markdown(self) -> str:
        """The change as the gate page shows it."""
        lines = [f"**Changes who decides:** {', '.join(map(code, self.authority_files))}", ""]
        lines = lines if self.authority_files else []
        lines += [self.summary.strip() or "(no summary)", ""]
        lines += [f"`{self.commit[:12]}` on `{self.branch}`, on top of `{self.base_commit[:12]}`", ""]
        if self.files:
            lines += ["| file | what | lines |", "| --- | --- | --- |"]
            files = sorted(self.files, key=lambda file: file.path not in self.authority_files)
            lines += [f"| {code(file.path)} | {file.status} | {_lines(file)} |" for file in files]
        else:
            lines += ["**Nothing was changed.**"]
        if self.refused:
            lines += ["", "**Left out, because policy protects these paths:**", ""]
            lines += [f"- {code(path)}" for path in self.refused]
        if self.secrets:
            lines += ["", "**Left out, because they bring in what looks like a secret:**", ""]
            lines += [f"- {code(path)}" for path in self.secrets]
        if self.left_out:
            lines += ["", "**Left out, because they are sockets, pipes or devices:**", ""]
            lines += [f"- {code(path)}" for path in self.left_out]
        if self.asks_to_amend:
            lines += ["", "**Asks the author of the sealed tests to amend:**", ""]
            lines += [f"- {code(request.test)} ({code(request.criterion)})" for request in self.asks_to_amend]
        return "\n".join(lines) + "\n"


def readable(path: str) -> str:
    """A path as text that can be stored and shown: undecodable bytes and what shows nothing spelled out."""
    text = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(
        _spelled(character) if shows_nothing(character) or not character.isprintable() else character
        for character in text
    )


def code(text: str) -> str:
    """Untrusted text, a path mostly, as inline code that ends where it should and breaks no table."""
    return "`" + readable(text).replace("`", "ˋ").replace("|", "¦") + "`"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _lines(file: FileChange) -> str:
    return "binary" if file.added is None else f"+{file.added} −{file.removed}"
