"""Requests that a sealed test got an answer to in its own process, and that the served candidate does not answer.

Called by `served_check`. It hangs, drips, does not end, breaks off, or sends what is no HTTP. It must not know the
verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.evidence import NOT_SERVED, Finding
from phasegate.infra.grading.served.comparison import said
from phasegate.infra.grading.served.exchanges import Conversation, ServedAnswer
from phasegate.infra.grading.served.service_run import (
    BROKEN_OFF,
    LATE,
    REQUEST_SECONDS,
    SPENT,
    Asked,
    Surroundings,
    Twin,
)
from phasegate.infra.grading.served.test_setup import TestSetup
from phasegate.infra.grading.served.twins import Place
from phasegate.infra.workspace.change_set import readable

_NONE = "a sealed test gets {} in its own process; served as `[deploy] start` says, it gets no answer three times: {}"
_NOT_ASKED, _SILENT, _DOWN = "not asked", "it answers nothing more then", "it does not come up again"
_STREAMS = ("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/stream")
_MOST = 3
_CONFIRMATIONS = 2
_PATIENCE = 2
"""Factor on the time to come up, in the second try of a candidate that was up before."""
_LONGEST = 40.0
"""Bound, in seconds, on the time that a request has where tests take long."""


@dataclass(frozen=True)
class Circumstances:
    """Reasons for which an honest service may not answer here."""

    tests: TestSetup
    seconds: float
    """Time that the tests took."""
    is_short: bool
    """True if variables of `[deploy] environment` are not handed in."""


async def without_answer(
    twin: Twin,
    talks: Sequence[Conversation],
    calm: Surroundings,
    served: Asked,
    base: Asked | None,
    known: Circumstances,
) -> list[Finding]:
    """Findings about requests that get no answer in three starts, in the last two with nothing asked before.

    An answer after which the service answers nothing more counts as none. So does a start that brings no answer, since
    the service was up before. Once there is a finding, the time that was lost by waiting bounds what is asked further.

    It is a suspicion where base was not asked, variables are missing, or a start did not come up. So it is where a body
    without end may be a stream, where tests may have set up what it takes, and where they last longer than a request.

    Args:
        twin: The candidate's service.
        talks: What was asked.
        calm: Traits of the start.
        served: The first start.
        base: Base's start; `None`: it did not come up.
        known: Reasons for which an honest service may not answer.

    Raises:
        ServiceFailed: A service beside it does not come up.
    """
    findings: list[Finding] = []
    limit = min(max(REQUEST_SECONDS, 2 * known.seconds), _LONGEST)
    for at, number in _suspects(talks, served, base):
        talk = talks[at]
        request, part = talk.requests[number], replace(talk, requests=talk.requests[: number + 1])
        around = replace(calm, age=0, rounds=0, limit=limit)
        answers = [_last(served, served.answers[at][number])]
        while len(answers) <= _CONFIRMATIONS and is_none(request.recorded, answers[-1]):
            answers.append(await _again(twin, around, part, is_needed=not findings))
        if len(answers) <= _CONFIRMATIONS or not is_none(request.recorded, answers[-1]):
            continue
        errors = {answer.error for answer in answers}
        is_late, is_silent = LATE in errors, _SILENT in errors
        is_unclear = (
            _DOWN in errors
            or base is None
            or len(base.answers) <= at
            or known.is_short
            or (all(answer.status for answer in answers) and (request.recorded or ServedAnswer()).body is None)
            or (is_late and limit < known.seconds)
            or (known.tests.has_doubles(talk.file) if is_late and not is_silent else known.tests.is_set_up(talk.file))
        )
        message = _NONE.format(said(request.recorded or ServedAnswer()), readable(answers[-1].error))
        weight = "suspicion" if is_unclear else "cheating"
        findings.append(Finding(code=NOT_SERVED, path=readable(request.name), message=message, severity=weight))
    return findings


async def _again(twin: Twin, around: Surroundings, part: Conversation, *, is_needed: bool) -> ServedAnswer:
    """Answer to the last request of a conversation in a fresh start, which is tried twice if it does not come up."""
    asked = await twin.ask(around, [part], is_needed=is_needed)
    if not asked.is_up and asked.why not in (BROKEN_OFF, SPENT):
        asked = await twin.ask(around, [part], patience=_PATIENCE, is_needed=is_needed)
    if asked.answers:
        return _last(asked, asked.answers[0][-1])
    return ServedAnswer(error={"": LATE, BROKEN_OFF: BROKEN_OFF, SPENT: _NOT_ASKED}.get(asked.why, _DOWN))


def is_none(recorded: ServedAnswer | None, answer: ServedAnswer) -> bool:
    """True for no answer, or none that ends, where a test got one that is no stream."""
    if recorded is None or not 200 <= recorded.status < 400 or answer.error in ("", _NOT_ASKED):
        return False
    return not recorded.header("content-type").startswith(_STREAMS)


def _suspects(talks: Sequence[Conversation], served: Asked, base: Asked | None) -> Collection[Place]:
    """First request without an answer of each sealed conversation, each route once, where base answers or is not up.

    Where the service fell silent, the last one that it answered comes before them.
    """
    places: dict[str, Place] = {}
    answered: list[Place] = []
    for at, talk in enumerate(talks[: len(served.answers)]):
        for number, (request, answer) in enumerate(zip(talk.requests, served.answers[at], strict=True)):
            theirs = base.answers[at][number] if base and len(base.answers) > at else None
            if not talk.is_sealed or (theirs and theirs.error):
                continue
            if is_none(request.recorded, answer):
                places.setdefault(request.route, (at, number))
                break
            if not places and answer.status and is_none(request.recorded, ServedAnswer(error=_SILENT)):
                answered.append((at, number))
    last = answered[-1:] if served.is_silent and base and not base.is_silent else []
    return [*last, *places.values()][:_MOST]


def _last(asked: Asked, answer: ServedAnswer) -> ServedAnswer:
    """An answer, or none where the service answered nothing more after it."""
    return replace(answer, error=_SILENT) if asked.is_silent and answer.status and not answer.error else answer
