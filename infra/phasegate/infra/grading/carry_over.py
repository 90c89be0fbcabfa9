"""Comparison of two grades of one change: the approved one, and the one on a branch that has moved.

Called by integration. It must not know what follows from a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from phasegate.infra.grading.evidence import Evidence, Finding
from phasegate.infra.workspace.change_set import code

_SHOWN = 5


def differences(approved: Evidence, fresh: Evidence, patch_ids: tuple[str, str]) -> tuple[str, ...]:
    """Tell why an approval does not hold for another grade, a sentence each.

    Args:
        approved: The grade that was approved.
        fresh: The grade on the branch as it is now.
        patch_ids: The change's, before and now.

    Returns:
        The sentences, or none if the approval carries over.
    """
    return tuple(_differences(approved, fresh, patch_ids))


def _differences(approved: Evidence, fresh: Evidence, patch_ids: tuple[str, str]) -> Iterator[str]:
    if fresh.verdict == approved.verdict != "passed":
        yield f"The grade on the branch as it is now is *{fresh.verdict}*, as it was: a person decides about it anew."
    elif fresh.verdict != "passed":
        yield f"The grade on the branch as it is now is *{fresh.verdict}*; it was *{approved.verdict}*."
    if patch_ids[0] != patch_ids[1]:
        yield "The change is another patch: lines in it, or next to it, were changed on the branch."
    if approved.sealed_tests != fresh.sealed_tests:
        yield "The sealed tests are others."
    if approved.amended != fresh.amended:
        yield "The tests that the PRD makes obsolete, or what became of them, are not the same."
    before, now = (Counter(map(_key, evidence.findings)) for evidence in (approved, fresh))
    if more := list((now - before).elements()):
        yield f"New findings: {_listed(more)}."
    if fewer := list((before - now).elements()):
        yield f"Findings that are gone: {_listed(fewer)}."
    if _guarding(approved) != _guarding(fresh):
        yield "Other characterization tests hold, or other ones would be kept."
    if (approved.entered, approved.left_out) != (fresh.entered, fresh.left_out):
        yield "Other tests or settings of the change go in, or stay out."


def _guarding(evidence: Evidence) -> tuple[tuple[str, ...], ...]:
    guards = evidence.guards
    return (guards.files, guards.dropped, guards.kept_files) if guards else ()


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.code, finding.severity, finding.path


def _listed(keys: Sequence[tuple[str, str, str]]) -> str:
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(_named(keys[:_SHOWN])) + more


def _named(keys: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for name, severity, path in keys:
        yield f"{name} ({severity}{f', {code(path)}' if path else ''})"
