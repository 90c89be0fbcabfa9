"""Answers that differ between base and candidate, and between a test's own process and the served candidate.

Called by `served_check`. A test may set up what a fresh service does not have; so an answer that only differs from
the recorded one is named, and fails the grade only where the service has no such route. It must not know the verdict.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from phasegate.infra.grading.evidence import NOT_SERVED, Finding
from phasegate.infra.grading.served.comparison import apart, differing, is_other, said
from phasegate.infra.grading.served.exchanges import Conversation, ServedAnswer, ServedRequest
from phasegate.infra.grading.served.service_run import Asked, Surroundings, Twin
from phasegate.infra.grading.served.twins import FIXED, Place, ServedTwins, Words
from phasegate.infra.grading.served_summary import AnswerDifference
from phasegate.infra.workspace.change_set import readable

MISSING = (404, 405, 501)
"""Statuses by which a service says that it has no such route."""
_NO_ROUTE = "a sealed test gets {} in its own process; served as `[deploy] start` says, there is no such route: {}"
_MOST = 5


async def differences(
    before: tuple[Twin, Asked], after: tuple[Twin, ServedTwins], talks: Sequence[Conversation], calm: Surroundings
) -> tuple[AnswerDifference, ...]:
    """Answers that differ between base and candidate, each request once; those that no criterion asks for differ twice.

    Args:
        before: Base's service and its first start.
        after: The candidate's and its starts.
        talks: What was asked.
        calm: Traits of the starts.

    Raises:
        ServiceFailed: A service beside one does not come up.
    """
    plain = after[1].plain
    others = differing(before[1], plain)
    chance = {at for at in differing(plain, after[1].watched) if at in others} - {
        at for at in others if _status(plain, at) != _status(before[1], at)
    }
    places = [at for at in others if at not in chance]
    criteria = _criteria(talks)
    unasked = {at for at in places if not criteria.get(talks[at[0]].requests[at[1]].route)}
    if unasked:
        again = replace(calm, age=0, rounds=0, variables=FIXED)
        pair = await before[0].ask(again, talks, is_needed=True), await after[0].ask(again, talks)
        unasked &= set(differing(*pair)) - set(differing(before[1], pair[0]))
    by_name: dict[str, AnswerDifference] = {}
    for at, number in places:
        request = talks[at].requests[number]
        asked_for = criteria.get(request.route, ())
        if asked_for or (at, number) in unasked:
            was, now = apart(before[1].answers[at][number], plain.answers[at][number])
            name = readable(request.name)
            by_name.setdefault(name, AnswerDifference(request=name, before=was, after=now, criteria=asked_for))
    return tuple(by_name.values())


def beside_tests(talks: Sequence[Conversation], served: Asked) -> Iterator[AnswerDifference]:
    """Answers that a sealed test got in its own process, and that the served candidate gives otherwise."""
    names: set[str] = set()
    for request, answer, criteria in _of_sealed(talks, served):
        recorded = request.recorded
        if recorded is None or request.name in names or not is_other(recorded, answer):
            continue
        names.add(request.name)
        was, now = apart(recorded, answer)
        yield AnswerDifference(request=readable(request.name), before=was, after=now, criteria=criteria)


async def about_routes(
    twin: Twin,
    talks: Sequence[Conversation],
    calm: Surroundings,
    served: Asked,
    base: Asked | None,
    words: Words,
) -> list[Finding]:
    """Routes that sealed tests reach in their own process, and that the served candidate does not have.

    A path counts if the product's text names each part of it: others may name what a test has stored before. That a
    route is missing shows by `OPTIONS`, in a service that answers it otherwise for a route it has.

    Args:
        twin: The candidate's service.
        talks: What was asked.
        calm: Traits of the start.
        served: The first start.
        base: Base's start; `None`: it did not come up.
        words: Texts of the product.

    Raises:
        ServiceFailed: A service beside it does not come up.
    """
    suspects: dict[str, tuple[ServedRequest, ServedAnswer]] = {}
    for at, talk in enumerate(talks[: len(served.answers)]):
        request, answer = talk.requests[0], served.answers[at][0]
        got = request.recorded
        if not talk.is_sealed or got is None or not 200 <= got.status < 400 or answer.status not in MISSING:
            continue
        is_new = base is None or len(base.answers) <= at or base.answers[at][0].status == answer.status
        if is_new and is_fixed(request.path, words.product):
            suspects.setdefault(request.route, (request, answer))
    if not suspects:
        return []
    chosen = list(suspects.values())[:_MOST]
    health, nowhere = talks[-1].requests[0].path, f"/{secrets.token_hex(8)}"
    paths = [health, nowhere, *(request.path for request, _ in chosen)]
    probes = [Conversation("", (ServedRequest("OPTIONS", path),)) for path in paths]
    asked = await twin.ask(replace(calm, age=0, rounds=0), probes)
    statuses = [part[0].status for part in asked.answers]
    if len(statuses) < len(probes) or statuses[0] == statuses[1]:
        return []
    return [
        Finding(
            code=NOT_SERVED,
            path=readable(request.name),
            message=_NO_ROUTE.format(said(request.recorded or ServedAnswer()), said(answer)),
            severity="cheating",
        )
        for (request, answer), status in zip(chosen, statuses[2:], strict=True)
        if status == statuses[1]
    ]


def _status(asked: Asked, place: Place) -> int:
    return asked.answers[place[0]][place[1]].status


def _criteria(talks: Sequence[Conversation]) -> dict[str, tuple[str, ...]]:
    """Criteria by route, of all sealed tests that ask for it."""
    by_route: dict[str, tuple[str, ...]] = {}
    for talk in talks:
        for request in talk.requests if talk.is_sealed else ():
            by_route[request.route] = tuple(dict.fromkeys((*by_route.get(request.route, ()), *talk.criteria)))
    return by_route


def _of_sealed(
    talks: Sequence[Conversation], served: Asked
) -> Iterator[tuple[ServedRequest, ServedAnswer, tuple[str, ...]]]:
    for talk, answers in zip(talks, served.answers, strict=False):
        if talk.is_sealed:
            yield from (
                (request, answer, talk.criteria) for request, answer in zip(talk.requests, answers, strict=True)
            )


def is_fixed(path: str, product: str) -> bool:
    """Tell if the product's text names each part of a path."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    return bool(parts) and all(re.search(rf"(?<![\w-]){re.escape(part)}(?![\w-])", product) for part in parts)
