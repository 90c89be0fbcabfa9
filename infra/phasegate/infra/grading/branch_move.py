"""A move of the base branch: an approved change, graded again on the branch's new head.

Part of `Evidence`. It must not know how the change was merged, or how gates are opened.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MOST_MOVES = 3
"""Moves of the branch after which a person is asked, whatever the grade says."""


class BranchMove(BaseModel):
    """Reason why a change was graded once more, and the fate of its approval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str
    base: str
    """The commit that the approved grade was made on."""
    head: str
    """The commit that the branch is at, and this grade was made on."""
    number: int
    """The branch's moves since a person last had to decide, this one included."""
    approved: str
    """Digest of the evidence that was approved."""
    patch_id: str
    """`git patch-id --stable` of the change on the head."""
    differences: tuple[str, ...] = ()
    """Differences to the approved grade, a sentence each; empty: the approval carries over."""

    @property
    def asks(self) -> bool:
        """True once the branch has moved so often that a person decides instead."""
        return self.number >= MOST_MOVES

    @property
    def carries_over(self) -> bool:
        """True if the approval of the earlier grade holds for this one."""
        return not (self.differences or self.asks)

    def sentence(self) -> str:
        """The move and what follows from it, in words."""
        moved = f"{self.branch} moved from {self.base[:12]} to {self.head[:12]}, so the merged tree was graded."
        if self.carries_over:
            return f"{moved} All is as it was approved, and the approval carries over."
        often = f" That was move {self.number}; a person decides now." if self.asks else ""
        if not self.differences:
            return f"{moved} All is as it was approved.{often}"
        return f"{moved} The approval does not carry over: {' '.join(self.differences)}{often}"

    def markdown_lines(self) -> list[str]:
        """The section of a gate page."""
        lines = [f"**The branch has moved.** {_cell(self.branch)} went from `{self.base[:12]}` to `{self.head[:12]}`."]
        lines[0] += " What is graded here is the change merged into it: exactly the tree that an approval releases."
        if self.carries_over:
            return [*lines, "All is as it was approved, and the approval carries over.", ""]
        if self.differences:
            lines += ["The approval of the earlier grade does not carry over:", ""]
            lines += [*(f"- {_cell(difference)}" for difference in self.differences), ""]
        if self.asks:
            lines += [f"That was move {self.number} of the branch; a person decides instead of a further grade.", ""]
        return lines


def _cell(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
