"""Answers of the served candidate that contradict what a sealed test got, where no state of the test explains it.

Called by `served_check`. Most tests set something up, so most differences are left to the page. What is told here is a
suspicion at most: a start file may load what the tests' own process never does. It must not know the verdict.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from phasegate.infra.grading.evidence import NOT_SERVED, Finding
from phasegate.infra.grading.served.comparison import apart, differs, is_other
from phasegate.infra.grading.served.exchanges import Conversation, ServedAnswer, ServedRequest
from phasegate.infra.grading.served.no_answer import Circumstances
from phasegate.infra.grading.served.routes import MISSING, is_fixed
from phasegate.infra.grading.served.service_run import Asked, Surroundings, Twin
from phasegate.infra.grading.served.test_setup import TestSetup
from phasegate.infra.grading.served.twins import SAFE, Place, ServedTwins
from phasegate.infra.workspace.change_set import readable

_OTHERWISE = "a sealed test that sets nothing up gets {}; served as `[deploy] start` says, it is {} each time"
_MISSING = (
    "a sealed test that sets nothing up gets {}; served as `[deploy] start` says, it is {} each time, as on base and "
    "as for a path that is not there"
)
_ELSEWHERE = (400, 404, 405, 421, 429, 501, 503)
"""Statuses by which a service says that it is not there, not under this name, or not now."""
_HOST = re.compile(rb"""\bhttps?://[^/"'\s<>\\]+""")
_OF_CLIENT = re.compile(
    rb"testserver|testclient|werkzeug|httpx|aiohttp|urllib|requests/|supertest|superagent|undici|node-fetch|axios"
    rb"|mozilla|example\.com|127\.0\.0\.1|::1|localhost",
    re.IGNORECASE,
)
"""Words of answers that tell who asks, and where."""
_STARTS = re.compile(r"lifespan|on_event|startup|before_first|before_serving|on_startup|def ready\(|onModuleInit")
"""Work of a service as it starts, which clients of tests may leave out."""
_PREFIX = re.compile(
    r"""(?:(?:prefix|mount|base|root|path|version)\w*["']?\W{1,3}r?["'`]\^?/?|["'`]/)([\w.-]+(?:/[\w.-]+){0,2})/?["'`]""",
    re.IGNORECASE,
)
"""Texts of a product that may be the prefix of its routes."""
_MOST_PREFIXES = 40
_MOST = 5


async def contradictions(
    pair: tuple[Twin, ServedTwins],
    talks: Sequence[Conversation],
    calm: Surroundings,
    base: Asked | None,
    known: Circumstances,
    product: str,
) -> list[Finding]:
    """Contradictions that hold in each start, before and after all that the tests store by requests.

    Nothing is told if the service answers otherwise than in its tests anyway: if base gives the same answers as the
    candidate to other requests, and their tests got others. Neither is where a service loads something as it starts.
    A missing route is told where tests get something else of the same application as it is served.

    Args:
        pair: The candidate's service, and its starts.
        talks: What was asked.
        calm: Traits of the start.
        base: Base's start; `None`: it did not come up.
        known: What tests set up, and what is missing here.
        product: Text of the product.

    Raises:
        ServiceFailed: A service beside it does not come up.
    """
    twin, twins = pair
    served = twins.plain
    if base is None:
        return []
    gone = [] if known.is_short else list(_missing(talks, served, base, known.tests, product))
    suspects = [
        at
        for at in dict.fromkeys([*_suspects(talks, served, known.tests), *gone])
        if not twins.watched.is_up or at in gone or _holds(talks, twins.watched, at)
    ]
    if not suspects or _STARTS.search(product) or _is_usual(talks, served, base, suspects):
        return []
    chosen = suspects[:_MOST]
    if any(at in gone for at in chosen):
        moved = await _under_prefixes(twin, talks, calm, [at for at in chosen if at in gone], product)
        chosen = [at for at in chosen if at not in moved]
    return await _lasting(twin, served, talks, calm, chosen, gone) if chosen else []


async def _lasting(
    twin: Twin,
    served: Asked,
    talks: Sequence[Conversation],
    calm: Surroundings,
    chosen: Sequence[Place],
    gone: Collection[Place],
) -> list[Finding]:
    """Findings about answers that are the same in two more starts, before and after all that tests store."""
    parts = [replace(talks[at], requests=talks[at].requests[: number + 1]) for at, number in chosen]
    stores = [talk for talk in talks if any(request.method not in SAFE for request in talk.requests)]
    nowhere = Conversation("", (ServedRequest("GET", f"/{secrets.token_hex(8)}"),))
    asked = [nowhere, *parts, *parts, *stores, *parts]
    starts = [
        await twin.ask(replace(calm, age=age, rounds=0, is_moved=is_moved), asked)
        for age, is_moved in ((0, calm.is_moved), (0.37, False))
    ]
    if any(len(start.answers) < len(asked) for start in starts):
        return []
    findings: list[Finding] = []
    for own, (at, number) in enumerate(chosen):
        first = served.answers[at][number]
        again = [
            (start.answers[place][number], start.root)
            for start in starts
            for place in (own + 1, own + 1 + len(parts), len(asked) - len(parts) + own)
        ]
        request = talks[at].requests[number]
        if (at, number) in gone:
            first = _without(first, request)
            again = [(_without(answer, request), root) for answer, root in again]
            again += [(_without(start.answers[0][0], nowhere.requests[0]), start.root) for start in starts]
        if not any(differs(first, answer, (served.root, root)) for answer, root in again):
            was, now = apart(request.recorded or ServedAnswer(), served.answers[at][number])
            message = (_MISSING if (at, number) in gone else _OTHERWISE).format(was, now)
            findings.append(
                Finding(code=NOT_SERVED, path=readable(request.name), message=message, severity="suspicion")
            )
    return findings


def _suspects(talks: Sequence[Conversation], served: Asked, tests: TestSetup) -> Iterator[Place]:
    """Places of sealed conversations, each request once, that contradict what a test that only asks got."""
    names: set[str] = set()
    for at, talk in enumerate(talks[: len(served.answers)]):
        if not talk.is_sealed or tests.is_set_up(talk.file):
            continue
        for number, request in enumerate(talk.requests):
            if request.name not in names and _contradicts(request, served.answers[at][number]):
                names.add(request.name)
                yield at, number
            if request.method not in SAFE:
                break


def _missing(
    talks: Sequence[Conversation], served: Asked, base: Asked, tests: TestSetup, product: str
) -> Iterator[Place]:
    """Places of requests that only ask, for a route that is there in tests, and served neither here nor on base."""
    alike = [
        talk.file
        for talk, answers in zip(talks, served.answers, strict=False)
        for request, answer in zip(talk.requests, answers, strict=True)
        if request.recorded and 200 <= answer.status < 300 and not is_other(request.recorded, answer)
    ]
    names: set[str] = set()
    for at, talk in enumerate(talks[: min(len(served.answers), len(base.answers))]):
        if not talk.is_sealed or tests.is_set_up(talk.file) or tests.mounts(talk.file):
            continue
        for number, request in enumerate(talk.requests):
            if request.method not in SAFE:
                break
            got, now, before = request.recorded, served.answers[at][number], base.answers[at][number]
            is_gone = got and 200 <= got.status < 300 and now.status in MISSING and before.status == now.status
            path = request.path.partition("?")[0]
            is_named = is_fixed(path, product) and not any(part.isdigit() for part in path.split("/"))
            is_told = request.name in names
            if is_gone and is_named and not is_told and any(tests.asks_as(talk.file, other) for other in alike):
                names.add(request.name)
                yield at, number


async def _under_prefixes(
    twin: Twin, talks: Sequence[Conversation], calm: Surroundings, gone: Sequence[Place], product: str
) -> set[Place]:
    """Places of routes that are there below a prefix which the product's text names; all, if that cannot be told."""
    prefixes = dict.fromkeys(_PREFIX.findall(product))
    pairs = [(place, prefix) for place in gone for prefix in list(prefixes)[:_MOST_PREFIXES]]
    asked = [
        Conversation("", (ServedRequest("GET", f"/{prefix}{talks[at].requests[number].path}"),))
        for (at, number), prefix in pairs
    ]
    start = await twin.ask(replace(calm, age=0, rounds=0), asked)
    if len(start.answers) < len(asked):
        return set(gone)
    return {place for (place, _), given in zip(pairs, start.answers, strict=True) if given[0].status not in MISSING}


def _without(answer: ServedAnswer, request: ServedRequest) -> ServedAnswer:
    """An answer without the path that it may repeat."""
    path = request.path.partition("?")[0]
    body = answer.body
    for text in (request.path, path, path.strip("/")):
        body = body.replace(text.encode(), b"*") if body and text else body
    return replace(answer, body=body)


def _contradicts(request: ServedRequest, answer: ServedAnswer) -> bool:
    """True if another status or other words came than the test got; their order does not count, nor do addresses."""
    got = request.recorded
    if got is None or not answer.status or answer.error or answer.status in _ELSEWHERE or got.status in _ELSEWHERE:
        return False
    was, now = (_HOST.sub(b"*", reply.body or b"") for reply in (got, answer))
    if (
        _OF_CLIENT.search(was)
        or _OF_CLIENT.search(now)
        or answer.header("content-type").startswith("text/event-stream")
    ):
        return False
    if got.status == answer.status and sorted(was) == sorted(now):
        return False
    known = replace(got, body=None if got.body is None else was)
    return is_other(known, replace(answer, body=now))


def _holds(talks: Sequence[Conversation], served: Asked, place: Place) -> bool:
    at, number = place
    return len(served.answers) > at and _contradicts(talks[at].requests[number], served.answers[at][number])


def _is_usual(talks: Sequence[Conversation], served: Asked, base: Asked, suspects: Sequence[Place]) -> bool:
    """True if base and candidate alike give another answer than a test got to a request that is no suspect's."""
    names = {talks[at].requests[number].route for at, number in suspects}
    roots = served.root, base.root
    for talk, ours, theirs in zip(talks, served.answers, base.answers, strict=False):
        for request, answer, before in zip(talk.requests, ours, theirs, strict=True):
            is_known = request.recorded is not None and request.route not in names
            if is_known and not differs(answer, before, roots) and is_other(request.recorded or ServedAnswer(), answer):
                return True
    return False
