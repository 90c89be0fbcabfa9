"""Scripted answers: the turn of the script that a request is for, and its reply, independent of the protocol.

`server` calls it; the dialects translate to and from it. It keeps nothing between requests: the turn is counted from
the model's own answers in the request, so a request repeated after a crash gets the same answer.

A malformed call is an answer too, and the conversation continues after it. Its call id marks it as malformed, so the
count leaves such answers out. The next request is matched with everything since the last well-formed answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from phasegate.agents.models.conversation import JsonObject, encode_json
from phasegate.agents.rehearsal.script import Fault, Script, Turn

_MALFORMED_ID = re.compile(r"_malformed[0-9]+$")
_LONGEST_EXCERPT = 400
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Utterance:
    """An entry of a request's conversation.

    Attributes:
        by_model: The model said it in an earlier answer.
        text: Its text; for the first, the instructions.
        call_ids: The calls it holds, if the model said it.
    """

    by_model: bool
    text: str = ""
    call_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScriptedRequest:
    """A request as a dialect reads it.

    Attributes:
        model: The model asked for.
        streamed: True if the answer must be streamed.
        utterances: The conversation so far.
        tokens: Its estimated length.
    """

    model: str
    streamed: bool
    utterances: Sequence[Utterance]
    tokens: int


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A tool call of an answer; `arguments` is JSON, or meant to look like it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """A scripted answer, before a dialect encodes it.

    Attributes:
        id: The same for the same turn.
        model: As asked for.
        text: What the model says; may be empty.
        calls: What it calls.
        input_tokens: Estimated from the request's bytes.
        output_tokens: Estimated from the answer's bytes.
    """

    id: str
    model: str
    text: str
    calls: Sequence[ScriptedCall]
    input_tokens: int
    output_tokens: int


class Dialect(Protocol):
    """Reads requests and writes answers in one protocol."""

    path: ClassVar[str]
    """The endpoint, after the version."""

    def read(self, request: JsonObject, tokens: int) -> ScriptedRequest:
        """Read a request of about so many tokens.

        Raises:
            ValueError: It is not of this protocol.
        """
        ...

    def stream(self, request: JsonObject, answer: ScriptedReply) -> list[bytes]:
        """The answer as server-sent events."""
        ...

    def document(self, answer: ScriptedReply) -> JsonObject:
        """The answer as one JSON document."""
        ...


class Diverged(Exception):
    """The request does not match the script.

    Attributes:
        stage: The stage, as the address says.
        turn: The turn, counted from 1.
    """

    def __init__(self, message: str, stage: str, turn: int) -> None:
        """Keep the message and the place."""
        super().__init__(message)
        self.stage = stage
        self.turn = turn


@dataclass(frozen=True, slots=True)
class Position:
    """A request's position in the script.

    Attributes:
        turn: The turn it asks for, counted from 1.
        news: The text that it adds since the last well-formed answer.
        malformed: The number of malformed answers that this turn already had.
    """

    turn: int
    news: str
    malformed: int


def position(utterances: Sequence[Utterance]) -> Position:
    """Find the turn a conversation has come to."""
    turn, malformed, news = 1, 0, list[str]()
    answers = list[Utterance]()  # the parts of one answer follow each other
    for utterance in [*utterances, Utterance(by_model=False)]:
        if utterance.by_model:
            answers.append(utterance)
            continue
        if answers:
            if any(_MALFORMED_ID.search(call_id) for answer in answers for call_id in answer.call_ids):
                malformed += 1
            else:
                turn, malformed = turn + 1, 0
                news.clear()
            answers.clear()
        news.append(utterance.text)
    return Position(turn, "\n".join(news), malformed)


def scripted_turn(script: Script, stage: str, attempt: int, at: Position) -> Turn:
    """The turn of the script a request is for.

    Raises:
        Diverged: The script has no such turn, or expects something else.
    """
    turns = script.turns(stage, attempt)
    where = f"{stage}, attempt {attempt}, turn {at.turn}"
    if not turns:
        raise Diverged(f"{where}: the script has no turns for this stage.", stage, at.turn)
    if at.turn > len(turns):
        raise Diverged(f"{where}: the script ends after {len(turns)} turns.{_came(at)}", stage, at.turn)
    turn = turns[at.turn - 1]
    if turn.expect is not None and not re.search(turn.expect, at.news):
        raise Diverged(f"{where}: the script expects /{turn.expect}/.{_came(at)}", stage, at.turn)
    return turn


def _came(at: Position) -> str:
    news = at.news.strip()
    cut = " […]" if len(news) > _LONGEST_EXCERPT else ""
    return f" What came:\n{news[:_LONGEST_EXCERPT]}{cut}"


def due_fault(
    script: Script, stage: str, attempt: int, at: Position, struck: Callable[[int], int]
) -> tuple[int, Fault] | None:
    """The fault that is next for this turn, with its place in the list, if one is left.

    Args:
        script: The script with the faults.
        stage: The stage.
        attempt: Its attempt.
        at: Where the request stands; malformed answers are counted by it.
        struck: Counts the injections so far of the fault at a place of the list.
    """
    malformed = at.malformed
    for place, fault in script.faults_at(stage, attempt, at.turn):
        if fault.kind != "malformed_call":
            if struck(place) < fault.times:
                return place, fault
        elif malformed < fault.times:
            return place, fault
        else:
            malformed -= fault.times
    return None


def answer_to(
    question: ScriptedRequest, turn: Turn, stage: str, attempt: int, at: Position, *, malformed: bool
) -> ScriptedReply:
    """Spell out a turn of the script."""
    place = f"{stage}_{attempt}_{at.turn}"
    suffix = f"_malformed{at.malformed}" if malformed else ""
    arguments = [encode_json(call.args).decode() for call in turn.calls()]
    if malformed:
        arguments[0] = arguments[0][: len(arguments[0]) // 2] or "{"
    calls = [
        ScriptedCall(f"call_{place}_{index}{suffix}", call.name, raw)
        for index, (call, raw) in enumerate(zip(turn.calls(), arguments, strict=True))
    ]
    text = turn.text or ""
    written = len(text.encode()) + sum(len(raw.encode()) for raw in arguments)
    return ScriptedReply(f"{place}{suffix}", question.model, text, calls, question.tokens, tokens(written))


def tokens(length: int) -> int:
    """An estimate for so many bytes, the same every time."""
    return max(length // _BYTES_PER_TOKEN, 1)


def pieces(text: str, size: int = 24) -> list[str]:
    """A text in the pieces a stream brings it in."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def event(data: JsonObject, name: str | None = None) -> bytes:
    """Encode a server-sent event."""
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % encode_json(data)


def flat_text(content: object) -> str:
    """The text in a message's content: itself, or that of its blocks (and of the blocks in those)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    entries = cast("list[object]", content)
    blocks = [cast("JsonObject", entry) for entry in entries if isinstance(entry, dict)]
    return "\n".join(flat_text(block.get("text") or block.get("content") or block.get("output")) for block in blocks)
