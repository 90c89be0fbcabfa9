"""Acceptance tests that were written from the approved PRD and sealed before the change existed.

Made by the authoring half of testing, read by grading alone. It must not know how they are run.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phasegate.infra.artifacts import Artifact
from phasegate.infra.grading.amendments import Amendment
from phasegate.infra.grading.characterization import Characterization
from phasegate.infra.grading.tree.file_paths import FilePath
from phasegate.infra.grading.tree.test_cases import split_case
from phasegate.infra.workspace.change_set import AmendmentRequest, code


class SealedFile(BaseModel):
    """A test file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: FilePath
    """Where it goes, relative to the repository's root."""
    content: str
    criteria: tuple[str, ...]
    """The acceptance criteria it tests, by id. A test whose name holds one of these ids counts for that one only."""


class SealedTests(Artifact):
    """The acceptance tests of one run. Its digest goes to the ledger; its text goes to no workspace."""

    kind: ClassVar[str] = "sealed-tests"

    files: tuple[SealedFile, ...]
    amends: tuple[Amendment, ...] = ()
    """Existing tests that the PRD makes obsolete."""
    declined: tuple[AmendmentRequest, ...] = Field(default=(), exclude_if=operator.not_)
    """Requests of an implementer that the authoring agent did not follow; left out of the JSON where there are none."""
    characterization: Characterization | None = Field(default=None, exclude_if=operator.not_)
    """Tests of what base does already, which count as what passed before; `None`: base's own tests suffice."""

    @model_validator(mode="after")
    def _one_file_per_path(self) -> SealedTests:
        paths = [file.path for file in (*self.files, *self.guards)]
        if doubled := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"two sealed files have the same path: {', '.join(doubled)}")
        return self

    @property
    def guards(self) -> tuple[SealedFile, ...]:
        """The files of the characterization tests, which test no criterion."""
        files = self.characterization.files if self.characterization else ()
        return tuple(SealedFile(path=file.path, content=file.content, criteria=()) for file in files)

    def or_guards(self, guards: tuple[SealedFile, ...]) -> SealedTests:
        """These tests; where there are none of them, the characterization tests in their place."""
        return self if self.files else SealedTests(files=guards)

    def open_requests(self, asked: Sequence[AmendmentRequest]) -> tuple[AmendmentRequest, ...]:
        """Requests that no sealing has decided yet, each once and in a fixed order."""
        open_ = [
            request
            for request in asked
            if request not in self.declined and not any(_covers(amendment, request) for amendment in self.amends)
        ]
        left = {(request.test, request.criterion): request for request in open_}
        return tuple(left[key] for key in sorted(left))

    def with_added(self, asked: Sequence[AmendmentRequest], added: Sequence[Amendment]) -> SealedTests:
        """The same tests, sealed again with amendments that were added after the change.

        Args:
            asked: Requests that were put to the authoring agent.
            added: What it amends of them; the other requests are declined.
        """
        late = [amendment.model_copy(update={"added_after_change": True}) for amendment in added]
        followed = {amendment.test for amendment in added}
        declined = [request for request in asked if request.test not in followed]
        update = {"amends": (*self.amends, *late), "declined": (*self.declined, *declined)}
        return self.model_copy(update=update)

    def write_into(self, folder: Path) -> None:
        """Write the files into a checkout whose content is untrusted: what is in their way goes, links included.

        Args:
            folder: The checkout; nothing runs in it now.
        """
        for file in self.files:
            target = folder
            for name in file.path.split("/")[:-1]:
                target /= name
                if target.is_symlink() or not target.is_dir():
                    target.unlink(missing_ok=True)
                    target.mkdir()
            target /= file.path.rpartition("/")[2]
            _clear(target)
            target.write_text(file.content, encoding="utf-8", newline="")

    def markdown(self) -> str:
        """List of what is sealed, without the tests themselves: its reader may be talking to the implementer."""
        lines = ["| sealed file | criteria | lines |", "| --- | --- | --- |"]
        lines += [
            f"| {code(file.path)} | {', '.join(file.criteria)} | {len(file.content.splitlines())} |"
            for file in self.files
        ]
        if self.amends:
            lines += ["", "| existing test that the PRD makes obsolete | criterion | replaced |", "| --- | --- | --- |"]
            lines += [
                f"| {code(amendment.test)} | {amendment.criterion} | {'yes' if amendment.replacement else 'no'}"
                f"{' (added after the change)' if amendment.added_after_change else ''} |"
                for amendment in self.amends
            ]
        if self.declined:
            lines += ["", "**Asked for by the implementer, and not amended:**", ""]
            lines += [f"- {code(request.test)} ({code(request.criterion)})" for request in self.declined]
        lines += self.characterization.markdown_lines() if self.characterization else []
        return "\n".join(lines) + "\n"


def _covers(amendment: Amendment, request: AmendmentRequest) -> bool:
    """True where an amendment is about the test of a request; an amendment may leave out the test's class."""
    test, case = split_case(request.path, request.name)
    last = test.rpartition("::")[2]
    own = {request.name, test, last, f"{last}[{case}]"}
    return amendment.path == request.path and amendment.name in own


def _clear(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        for entry in target.iterdir():
            _clear(entry)
        target.rmdir()
    else:
        target.unlink(missing_ok=True)
