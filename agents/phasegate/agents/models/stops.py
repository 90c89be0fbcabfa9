"""Stop reasons: an answer is whole only if its provider says so with a word that is known.

Each wire protocol has its table of words. Any other word, and none at all, means that the answer was cut. The loop
carries out no call of an answer that was cut or refused. Sources: OpenAI API reference, "Create chat completion"
(`finish_reason`) and "Create a model response" (`status`, `incomplete_details`);
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

_LONGEST_WORD = 60
_LONGEST_REASON = 400
NO_WORD = "no stop reason"
"""Stands for the provider's word where it gave none."""


class Stop(TypedDict):
    """The reason why an answer is not carried out.

    Attributes:
        kind: `cut`: the answer is not whole; `refused`: the model refused, or a filter held the answer back.
        word: The provider's word (`max_tokens`, `content_filter`, …).
        reason: The model's or the provider's explanation of a refusal; may be empty.
    """

    kind: Literal["cut", "refused"]
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopWords:
    """The words of one protocol.

    Attributes:
        whole: Words of a whole answer.
        refused: Words of a refusal and of a content filter.
    """

    whole: frozenset[str]
    refused: frozenset[str]

    def read(self, word: str | None, explanation: str = "") -> Stop | None:
        """The reason why an answer with this word is not carried out, or None if it is whole."""
        known = (word or "").strip().lower()
        if known in self.whole:
            return None
        return refusal(known, explanation) if known in self.refused else cut(word)


def cut(word: str | None) -> Stop:
    """The stop of an answer that is not whole."""
    return {"kind": "cut", "word": _line(word or "", _LONGEST_WORD) or NO_WORD, "reason": ""}


def refusal(word: str, explanation: str) -> Stop:
    """The stop of an answer that was refused or filtered."""
    return {"kind": "refused", "word": _line(word, _LONGEST_WORD), "reason": _line(explanation, _LONGEST_REASON)}


def _line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
