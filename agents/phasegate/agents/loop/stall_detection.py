"""Stall detection: the fingerprints of an agent's latest turns, kept by the loop in the thread."""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.agents.models.conversation import ToolCall, ToolResult
from phasegate.infra.artifacts import canonical_json, sha256

TELL_AFTER = 3
STOP_AFTER = 5
"""Turns in a row without progress after which the agent is told, and stopped."""
TOLD = (
    "You are getting nowhere: your last {turns} turns failed or repeated earlier calls with the same results. Try "
    "another way, or hand in what you have with `finish` and say there what is missing."
)
_REMEMBERED = 8


def fingerprint(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> str:
    """Digest of a turn's calls and their results."""
    asked = [[call["name"], call["args"] if call["args"] is not None else call["raw"]] for call in calls]
    return sha256(canonical_json([asked, [result["output"] for result in results]]))[-16:]


def achieved(mark: str, results: Sequence[ToolResult], recent: Sequence[str]) -> bool:
    """True if a call succeeded and no recent turn has the same fingerprint."""
    return any(not result["failed"] for result in results) and mark not in recent


def remembered(recent: Sequence[str], mark: str) -> list[str]:
    """The latest turns, this one included."""
    return [*recent, mark][-_REMEMBERED:]
