"""Tests that a decision at gate `change` names: to strike, or regressions and loaded test files to accept.

Called by the doors before a decision is signed, so that a mistyped name is found at once. The ledger authorises.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.infra.errors import UsageError
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.ledger import Gate, Ledger, Verdict
from phasegate.infra.ledger.records import KEEP_TESTS

_SHOWN = 20


def named_tests(
    ledger: Ledger,
    gate: Gate,
    verdict: Verdict,
    *,
    strike: Sequence[str],
    accept: Sequence[str],
    note: str,
    keep: bool = False,
) -> tuple[str, ...]:
    """Check the tests that a decision names against the evidence the gate asks about.

    Args:
        ledger: Holds the evidence.
        gate: The gate that is decided.
        verdict: The decision.
        strike: Amendments and files of characterization tests to strike, as the page names them.
        accept: Regressions, and test files that the product loads, as the page names them.
        note: What the person says with it.
        keep: Whether the characterization tests are to go in with the change.

    Returns:
        The tests, each once, and `KEEP_TESTS` where they are kept.

    Raises:
        UsageError: A name is none of the page's, a regression is left out, or the note is missing; or there is no
            test to keep.
    """
    digest = gate.subject.get(Evidence.kind)
    evidence = ledger.artifacts.get(digest, Evidence) if gate.gate == "change" and digest else None
    if evidence is None:
        if strike or accept or keep:
            raise UsageError(
                f"gate {gate.gate} asks about no tests",
                remedy="--strike, --accept and --keep-tests belong to gate change.",
            )
        return ()
    if keep and not (evidence.guards and evidence.guards.kept_tree):
        raise UsageError("there are no tests of this run that could be kept", remedy="Leave out --keep-tests.")
    _require_known(
        strike, evidence.to_strike, "an amendment or a file of characterization tests that holds", "--strike"
    )
    _require_known(accept, evidence.to_accept, "a regression or a loaded test file of this grade", "--accept")
    if verdict == "approve" and evidence.to_accept:
        _require_all(evidence, accept, note)
    return tuple(dict.fromkeys((*strike, *accept, *((KEEP_TESTS,) if keep else ()))))


def _require_known(named: Sequence[str], tests: Sequence[str], what: str, option: str) -> None:
    for test in named:
        if test not in tests:
            listed = "\n".join(f"  {other}" for other in tests[:_SHOWN]) or "  (there is none)"
            raise UsageError(f"{test} is not {what}", remedy=f"Name one of these with {option}:\n{listed}")


def _require_all(evidence: Evidence, accept: Sequence[str], note: str) -> None:
    missing = [test for test in evidence.to_accept if test not in accept]
    if not evidence.is_acceptable:
        raise UsageError(
            "the grade failed for more than can be accepted by name",
            remedy="Send it back with `phasegate revise --note …`, or reject it.",
        )
    if missing:
        options = " ".join(f"--accept {test!r}" for test in missing[:_SHOWN])
        raise UsageError(
            f"the grade failed, and not all of it is accepted by name; missing: {len(missing)}",
            remedy=f"As an admin: {options} --note WHY. Or send it back with `phasegate revise --note …`.",
        )
    if not note.strip():
        raise UsageError("accepting what fails a grade needs a note", remedy="Add `--note WHY`.")
