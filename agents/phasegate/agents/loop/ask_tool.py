"""The `ask` tool: a question to the person in charge, whose answer comes back as the call's result.

Part of the loop rather than of the toolbox, since it suspends the whole turn: until the answer is there, no other call
of the turn is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.agents.models.conversation import ToolCall, ToolResult, ToolSpec
from phasegate.infra.errors import QuestionAsked
from phasegate.infra.ledger import Attempt, Ledger

NAME = "ask"
SPEC = ToolSpec(
    NAME,
    "Ask the person in charge one question that neither ticket nor repository answers and that you cannot decide. "
    "Work stops until they answer; their answer is the result.",
    {
        "type": "object",
        "properties": {"question": {"type": "string", "minLength": 1}},
        "required": ["question"],
        "additionalProperties": False,
    },
)


def answers(ledger: Ledger, attempt: Attempt, turn: int, calls: Sequence[ToolCall]) -> dict[str, ToolResult]:
    """Collect the answers to one turn's questions, by the ids of their calls.

    Raises:
        QuestionAsked: One of them is open.

    Effects:
        A question row per call, keyed by attempt, turn and place; a repeat finds it.
    """
    results: dict[str, ToolResult] = {}
    opened: list[str] = []
    for place, call in enumerate(calls):
        if call["name"] != NAME:
            continue
        text = str((call["args"] or {}).get("question", "")).strip()
        if not text:
            output, failed = "ask with a question: `question` is missing", True
        else:
            question = ledger.questions.ask(attempt, turn, place, text)
            if question.answer is None:
                opened.append(text)
                continue
            output, failed = question.answer, False
        results[call["id"]] = {"id": call["id"], "name": NAME, "output": output, "failed": failed}
    if opened:
        raise QuestionAsked(
            f"the agent of stage {attempt.stage} asks: {opened[0]}",
            remedy=f'Answer it: phasegate answer {attempt.run_id} "…"',
            attempt=attempt.id,
            turn=turn,
        )
    return results
