"""Summary of what characterization tests guard, as the evidence and the gate page show it.

Made by `guarding` and `touched_lines`. It must not know how tests are run.
"""

from __future__ import annotations

import operator

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.workspace.change_set import code

_SHOWN = 10


class TouchedLines(BaseModel):
    """Lines of base that the change alters or removes, with the functions around them."""

    __test__ = False  # pytest would take it for a test class

    model_config = ConfigDict(frozen=True, extra="forbid")

    total: int = 0
    not_run: int = 0
    """Lines of these that no test of the project runs on base."""
    unmeasured: tuple[str, ...] = ()
    """Files with such lines that nothing here can measure."""


class GuardSummary(BaseModel):
    """Characterization tests of one grade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = ""
    """Reason why base's own tests do not suffice."""
    omitted: str = ""
    """Reason why no characterization test was written."""
    project_passed: int = 0
    """The project's own tests that pass on base."""
    project_has_tests: bool = False
    """True if any test of the project is reported on base, whatever comes of it."""
    files: tuple[str, ...] = ()
    """Files whose tests count."""
    passed_on_base: int = 0
    still_passing: int = 0
    dropped: tuple[str, ...] = ()
    """Files and tests that do not hold on this base commit, and so count for nothing."""
    struck: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)
    """Files that a person struck: nothing of them was run."""
    kept_files: tuple[str, ...] = ()
    """Files that go in, where a person asks for it: all of their tests pass on base and on the change."""
    kept_tree: str = ""
    """The id of the graded tree with these files in it; empty: there are none, or the grade failed."""
    touched: TouchedLines | None = None
    """`None`: not measured."""

    def markdown_lines(self) -> list[str]:
        """The section of a gate page."""
        lines = ["", self.sentence()] if self.files or not self.struck else []
        if self.dropped:
            more = [f"- … and {len(self.dropped) - _SHOWN} more"] if len(self.dropped) > _SHOWN else []
            lines += [
                "",
                "**Written for this run, and not holding on base as it is now, so that they count for nothing:**",
            ]
            lines += ["", *(f"- {code(name)}" for name in self.dropped[:_SHOWN]), *more]
        if self.struck:
            lines += ["", f"Struck by a person, and run no more: {', '.join(map(code, self.struck))}."]
        if self.kept_files:
            names = ", ".join(map(code, self.kept_files))
            lines += ["", f"`--keep-tests` at the approval commits them with the change: {names}."]
        if self.touched:
            lines += _touched(self.touched)
        return lines

    def sentence(self) -> str:
        """The summary in a sentence or two."""
        if self.omitted:
            return f"{self.reason} No characterization test was written: {self.omitted}".strip()
        own = self.reason.rstrip(".")
        own = f"{own[:1].lower()}{own[1:]}"
        if not self.project_passed:
            own = f"the project has none {'that pass ' if self.project_has_tests else ''}here"
        count = self.passed_on_base
        return (
            f"**Guarded by {count} test{'' if count == 1 else 's'} written for this run; {own}.** "
            f"Of these, {self.still_passing} still pass{'es' if self.still_passing == 1 else ''}."
        )


def _touched(touched: TouchedLines) -> list[str]:
    lines: list[str] = []
    if touched.total:
        sentence = f"of {touched.total} touched lines of base, no test of the project ran {touched.not_run}"
        lines += ["", f"**Touched code:** {sentence}."]
    if touched.unmeasured:
        lines += ["", f"Touched code not measured: {', '.join(map(code, touched.unmeasured[:_SHOWN]))}."]
    return lines
