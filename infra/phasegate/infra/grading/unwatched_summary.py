"""Summary of a plain process, as the evidence and the gate page show it.

Made by `compare_unwatched`. It must not know how such a process is started.
"""

from __future__ import annotations

import operator

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.workspace.change_set import code

_SHOWN = 20


class Unwatched(BaseModel):
    """Tests that ran once more in a plain process, where no test runner is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    compared: int = 0
    """Sealed tests that did."""
    own: int = 0
    """The project's own tests that did."""
    not_compared: tuple[str, ...] = ()
    """Sealed files of which no test could."""
    unbuilt: tuple[str, ...] = ()
    """Folders with tests that concern the change and were left out, since each is a program to be built."""
    installed: int = Field(default=0, exclude_if=operator.not_)
    """Tests, the project's own included, that also ran where the project lies as a package manager leaves it."""

    def lines(self, passed: int, sealed: int) -> list[str]:
        """Lines of the gate page.

        Args:
            passed: Tests of the project that passed.
            sealed: Sealed tests that passed.
        """
        of_all = f" of {sealed}" if self.compared < sealed else ""
        both = f"{self.compared}{of_all} sealed tests, {self.own} of the project"
        notes = {
            f"**Run in a plain process as well, without a test runner:** {both}.": True,
            f"None of the project's own {passed} tests could be compared.": passed and not self.own,
            f"Also where the project lies as if it were installed: {self.installed} of these.": self.installed,
            f"Tests left out, of too many packages: {', '.join(map(code, self.unbuilt[:_SHOWN]))}.": self.unbuilt,
            f"In their runner alone: {', '.join(map(code, self.not_compared[:_SHOWN]))}.": self.not_compared,
        }
        return [line for text, holds in notes.items() if holds for line in ("", text)]
