"""Summary of a base commit's judgement, as the evidence, the gate page and `doctor` show it.

Made by `base`. It must not know how tests are run.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from phasegate.infra.workspace.change_set import code


class BaseSummary(BaseModel):
    """Outcomes of a project's own tests on the base commit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: int = 0
    """Tests that passed in every run."""
    failed: int = 0
    """Tests that failed in every run."""
    unstable: int = 0
    """Tests whose outcome differs from run to run, or whose id does."""
    skipped: int = 0
    """Tests skipped in every run."""
    runs: int = 0
    """Runs of the whole suite that the numbers rest on."""
    cut_short: tuple[str, ...] = ()
    """Places of options, and runners' words, by which the suite stops before its last test."""
    unstable_ids: tuple[str, ...] = ()
    """Ids, the first ones only, that one run has and another has not."""
    unstable_outcomes: tuple[str, ...] = ()
    """Tests, the first ones only, that pass in one run and fail in another."""
    errors: tuple[str, ...] = ()
    """Quotes of errors that keep tests from running, the first ones only."""
    reason: str = ""
    """Reason why the base commit tells nothing; empty if it tells something."""

    def sentence(self) -> str:
        """The numbers in one line."""
        if self.reason:
            return f"On base: nothing is told, {self.reason}."
        return (
            f"On base: {self.passed:,} pass, {self.failed:,} fail, {self.unstable:,} unstable, "
            f"{self.skipped:,} skipped."
        )

    def complaint(self) -> str:
        """The reason and the quoted errors, as a person reads them."""
        errors = [error.removeprefix(self.reason).removeprefix(": ") for error in self.errors]
        return "\n".join([f"The base commit tells nothing: {self.reason}.", *filter(None, errors)])

    def markdown_lines(self) -> list[str]:
        """The first lines of a gate page."""
        lines = [self.sentence(), ""]
        if self.unstable_ids:
            names = ", ".join(map(code, self.unstable_ids))
            lines += [f"Ids that differ from run to run, so that cases are counted instead of compared: {names}.", ""]
        if self.unstable_outcomes:
            lines += [f"Passes and fails on base: {', '.join(map(code, self.unstable_outcomes))}.", ""]
        if self.cut_short:
            lines += [f"The suite stops before its last test: {', '.join(map(code, self.cut_short))}.", ""]
        if self.errors:
            lines += ["Errors on base:", "", *(f"- {code(' '.join(error.split()))}" for error in self.errors), ""]
        return lines
