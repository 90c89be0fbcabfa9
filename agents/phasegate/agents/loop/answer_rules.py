"""Rules on a model's answer as a whole: when none of its calls is carried out.

The loop asks before it carries out an answer. A rehearsal gets the same answer and comes to the same result, because
nothing but the answer decides. `docs/agents.md` has the rules for people.
"""

from __future__ import annotations

from phasegate.agents.models.conversation import AssistantMessage

FINISH = "finish"
MOST_CALLS = 64
"""Calls of one answer that are carried out, in their order."""
STOP_AFTER_CUTS = 2
"""Cut answers in a row after which the agent is stopped."""

_CUT = (
    "your answer was cut off ({word}), so nothing of it counts. Work in smaller pieces: think and write less at once, "
    "make one call in an answer, and write a long file part by part."
)
_MANY = "your answer has {calls} calls, and at most {most} are carried out. Send fewer at once."
_FINISH_NOT_LAST = (
    "`finish` ends your work, so it must be the last call of an answer, and the only one of its kind. Send the other "
    "calls first, and `finish` once you have seen their results."
)


def withheld(answer: AssistantMessage) -> str:
    """The reason why no call of an answer is carried out, as the model is told; empty if they all are."""
    calls = answer["calls"]
    if (stop := answer.get("stop")) is not None:
        return _CUT.format(word=stop["word"])
    if len(calls) > MOST_CALLS:
        return _MANY.format(calls=len(calls), most=MOST_CALLS)
    if any(call["name"] == FINISH for call in calls[:-1]):
        return _FINISH_NOT_LAST
    return ""


def cuts_in_a_row(answer: AssistantMessage, before: int) -> int:
    """The number of cut answers in a row, this one included."""
    stop = answer.get("stop")
    return before + 1 if stop is not None and stop["kind"] == "cut" else 0
