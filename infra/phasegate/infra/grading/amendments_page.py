"""Amended tests as gate `change` shows them: each before and after, under its criterion.

Called by `evidence`. Quotes untrusted text in fences that it cannot end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.workspace.change_set import code

_LINES = 60
"""Lines shown of one test."""
_HEADS = {
    "amended": "is obsolete",
    "by-eye": "is a snapshot; compare it by eye, it never counts as passed",
    "not-needed": "counts as ever",
    "refused": "counts as ever",
    "struck": "was struck by a person and counts as ever",
    "declined": "was asked for by the implementer, not amended by the author of the sealed tests, and counts as ever",
}


def amended_section(tests: Sequence[AmendedTest]) -> list[str]:
    """The section's lines, or none if nothing was amended."""
    if not tests:
        return []
    asked_alone = all(test.status == "declined" for test in tests)
    heading = "the implementer asked to amend" if asked_alone else "the PRD makes obsolete"
    lines = ["", f"**Existing tests that {heading}:**", ""]
    for test in tests:
        late = " *Added after the change.*" if test.added_after_change else ""
        why = f": {test.why}" if test.why else ""
        by = f", by {test.criterion}" if test.status in ("amended", "by-eye") else f" ({test.criterion})"
        lines += [f"- {code(test.test)} {_HEADS[test.status]}{by}{why}.{late}"]
        if test.status not in ("amended", "by-eye"):
            continue
        lines += ["", "  Before:", *fenced(_cut(test.before))]
        if test.after:
            named = f" ({code(test.replacement)})" if test.replacement else ""
            lines += [f"  After{named}:", *fenced(_cut(test.after))]
        else:
            lines += ["  After: deleted, nothing takes its place.", ""]
        if test.status == "by-eye" and test.tests:
            lines += [f"  Tests that compare with it: {', '.join(map(code, test.tests[:20]))}.", ""]
    return lines


def declined_lines(tests: Sequence[AmendedTest]) -> list[str]:
    """Requests that came to nothing, as the implementer is told of them: ids alone."""
    return [
        f"- **The author of the acceptance tests does not amend** {code(test.test)} ({test.criterion}); it counts."
        for test in tests
        if test.status == "declined"
    ]


def fenced(message: str) -> list[str]:
    """An untrusted message as a fenced block inside a list item that it cannot end."""
    if not message:
        return []
    longest = max((len(run) for run in re.findall(r"`+", message)), default=0)
    fence = "`" * max(3, longest + 1)
    return ["", f"  {fence}", *(f"  {line}" for line in message.splitlines()), f"  {fence}", ""]


def _cut(text: str) -> str:
    lines = text.strip("\n").splitlines()
    more = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join([*lines[:_LINES], *more])
