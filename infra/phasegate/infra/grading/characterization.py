"""Characterization tests: what base does today, pinned where the project's own tests are thin.

Written by the authoring agent of stage testing, sealed with the acceptance tests, and counted as what passed before.
The module must not know how they are run. Source: M. Feathers, Working Effectively with Legacy Code, chapter 13.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from phasegate.infra.described import DescribedModel
from phasegate.infra.grading.tree.file_paths import FilePath
from phasegate.infra.workspace.change_set import code


class _Part(DescribedModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CharacterizationFile(_Part):
    """File of characterization tests."""

    path: FilePath
    """Its place, relative to the repository's root; nothing is there on the base commit."""
    content: str
    covers: tuple[str, ...] = Field(min_length=1)
    """The code whose behaviour it pins: `path::function`, `path::Class.method`, or a path alone."""


class Characterization(_Part):
    """Characterization tests of one run, and the reason for them."""

    reason: str
    """Reason why base's own tests do not suffice, in a sentence."""
    files: tuple[CharacterizationFile, ...] = ()
    omitted: str = ""
    """Reason why none was written; empty where there are files."""

    def markdown_lines(self) -> list[str]:
        """The section of the sealed tests' page: no test's text is on it."""
        if self.omitted:
            return ["", f"{self.reason} No characterization test was written: {self.omitted}"]
        return [
            *("", f"{self.reason} So what base does today is pinned, too:", ""),
            *("| characterization tests | of | lines |", "| --- | --- | --- |"),
            *(
                f"| {code(file.path)} | {', '.join(map(code, file.covers))} | {len(file.content.splitlines())} |"
                for file in self.files
            ),
        ]
