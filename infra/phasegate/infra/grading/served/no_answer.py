"""Requests that a sealed test got an answer to in its own process, and that the served candidate does not answer.

Called by `served_check`. It hangs, drips, does not end, breaks off, or sends what is no HTTP. It must not know the
verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.evidence import NOT_SERVED, Finding
from phasegate.infra.grading.served.comparison import said
from phasegate.infra.grading.served.exchanges import Answer, Conversation
from phasegate.infra.grading.served.service_run import REQUEST_SECONDS, Asked, Surroundings, Twin
from phasegate.infra.grading.served.test_setup import TestSetup
from phasegate.infra.grading.served.twins import Place
from phasegate.infra.workspace.change_set import readable

_NONE = "a sealed test gets {} in its own process; served as `[deploy] start` says, it gets no answer three times: {}"
_LATE, _NOT_ASKED = "it did not end in time", "not asked"
_STREAMS = ("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/stream")
_MOST = 3
_CONFIRMATIONS = 2
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

    It is a suspicion where base was not asked, or variables are missing. So it is where a body without end may be a
    stream, where tests may have set up what it takes, and where they last longer than a request may.

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
        answers = [served.answers[at][number]]
        for _ in range(_CONFIRMATIONS):
            asked = await twin.ask(around, [part])
            answers += [one[number] for one in asked.answers if is_none(request.recorded, one[number])]
        if len(answers) <= _CONFIRMATIONS:
            continue
        is_late = any(one.error == _LATE for one in answers)
        is_unclear = (
            base is None
            or len(base.answers) <= at
            or known.is_short
            or (all(one.status for one in answers) and (request.recorded or Answer()).body is None)
            or (is_late and limit < known.seconds)
            or (known.tests.has_doubles(talk.file) if is_late else known.tests.is_set_up(talk.file))
        )
        message = _NONE.format(said(request.recorded or Answer()), readable(answers[-1].error))
        weight = "suspicion" if is_unclear else "cheating"
        findings.append(Finding(code=NOT_SERVED, path=readable(request.name), message=message, severity=weight))
    return findings


def is_none(recorded: Answer | None, answer: Answer) -> bool:
    """True for no answer, or none that ends, where a test got one that is no stream."""
    if recorded is None or not 200 <= recorded.status < 400 or answer.error in ("", _NOT_ASKED):
        return False
    return not recorded.header("content-type").startswith(_STREAMS)


def _suspects(talks: Sequence[Conversation], served: Asked, base: Asked | None) -> Collection[Place]:
    """First request without an answer of each sealed conversation, each route once, where base answers or is not up."""
    found: dict[str, Place] = {}
    for at, talk in enumerate(talks[: len(served.answers)]):
        for number in _numbers(talk, served.answers[at]):
            request = talk.requests[number]
            theirs = base.answers[at][number] if base and len(base.answers) > at else None
            if talk.is_sealed and not (theirs and theirs.error):
                found.setdefault(request.route, (at, number))
    return list(found.values())[:_MOST]


def _numbers(talk: Conversation, answers: Sequence[Answer]) -> Iterator[int]:
    pairs = zip(talk.requests, answers, strict=True)
    yield from [number for number, (request, answer) in enumerate(pairs) if is_none(request.recorded, answer)][:1]
