"""Comparison of a served candidate with itself: started in peace, and started where tests seem to run.

Called by `served_check`. Answers that differ in one start may be chance; those that differ in each are the change's,
unless base's service differs in the same way, or tells apart by a name what it always told apart by it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.evidence import UNWATCHED, Finding, Severity
from phasegate.infra.grading.served.comparison import apart, differing, differs
from phasegate.infra.grading.served.exchanges import Conversation
from phasegate.infra.grading.served.service_run import MARKS, WATCHED, Asked, Surroundings, Twin
from phasegate.infra.workspace.change_set import readable

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods of requests that only ask."""
Place = tuple[int, int]
"""A conversation and a request in it."""
FIXED = {"PYTHONHASHSEED": "0"}
"""Variables with which sets are in one order."""
_OTHERWISE = "served, it answers otherwise than where tests seem to run: {} there, {} when nobody watches"
_DECAYS = "served, it answers {} at first, and {} once it was asked some {} times"
_ROUNDS = 300
_DRAWS = 16
"""Times that two starts are asked the same, to tell chance."""
_CLOSE = 5
"""Requests by which a count may differ between two starts, since each is asked for its health a few times."""
_AGES = (0.37, 0.71)
"""Ages, in seconds, of the starts that confirm a count: what changes with the clock does so after other counts."""
_OF_PATHS = re.compile(
    r"__file__|cwd\b|__dirname|\bargv\b|realpath|abspath|filename|executable|resolve\(", re.IGNORECASE
)
_OF_GIT = re.compile(r"\.git\b|\bgit\b")


@dataclass(frozen=True)
class Words:
    """Texts in which a change, and base, may name what they look at."""

    change: str
    """Added lines of the product."""
    base: str
    """The product's files on base."""
    product: str = ""
    """The product's files in the graded tree."""

    def always_asked(self, pattern: str | re.Pattern[str]) -> bool:
        """True if base has it already, and the change adds nothing of it."""
        return bool(re.search(pattern, self.base)) and not re.search(pattern, self.change)


@dataclass(frozen=True)
class ServedTwins:
    """Starts of one candidate."""

    plain: Asked
    watched: Asked
    findings: tuple[Finding, ...] = ()


async def compare_twins(
    twin: Twin,
    base: Twin | None,
    talks: Sequence[Conversation],
    calm: Surroundings,
    first: Asked,
    words: Words,
) -> ServedTwins:
    """Start a candidate among what runners leave to be seen, and compare its answers with the first start's.

    Args:
        twin: The candidate.
        base: The base commit's service; `None`: it does not come up.
        talks: What was asked.
        calm: Traits of the first start, in which nothing watches.
        first: That start.
        words: What the change and base look at by name.

    Raises:
        ServiceFailed: A service beside it does not come up.
    """
    watched = await twin.ask(WATCHED, talks)
    if not watched.is_up:  # base's tests run there, so a service that does not may still be honest
        return ServedTwins(first, watched, tuple(await _about_decay(twin, base, talks, calm, first)))
    places = await _lasting(twin, talks, replace(calm, rounds=0), first, watched)
    findings = await _weighed(twin, base, talks, calm, (first, watched), places, words) if places else []
    decayed = await _about_decay(twin, base, talks, calm, first)
    return ServedTwins(first, watched, (*findings, *decayed))


async def _lasting(
    twin: Twin, talks: Sequence[Conversation], calm: Surroundings, first: Asked, watched: Asked
) -> set[Place]:
    """Differences that neither chance explains, nor the order of sets, nor an answer that grows with age."""
    places = set(differing(first, watched))
    if places:
        plain, other = await twin.ask(calm, talks), await twin.ask(WATCHED, talks)
        places &= set(differing(plain, other)) - set(differing(watched, other))
    if places:
        plain, other = [await twin.ask(replace(around, variables=FIXED), talks) for around in (calm, WATCHED)]
        places &= set(differing(plain, other))
    if places:
        older = await twin.ask(replace(calm, age=2 * calm.age + 1), talks)
        aged = await twin.ask(replace(WATCHED, age=calm.age), talks)
        of_age = set(differing(watched, aged))
        places &= (set(differing(older, aged)) - of_age) | (of_age - set(differing(first, older)))
    return places - await _drawn(twin, talks, calm, places) if places else places


async def _drawn(
    twin: Twin, talks: Sequence[Conversation], calm: Surroundings, candidates: Collection[Place]
) -> set[Place]:
    """Answers that are now the same and now others when each start is asked the same many times.

    An answer that only changes with time or with the number of requests is the same from then on.
    """
    places = [
        (at, number)
        for at, number in candidates
        if all(request.method in SAFE for request in talks[at].requests[: number + 1])
    ]
    parts = [replace(talks[at], requests=talks[at].requests[: number + 1]) for at, number in places]
    far, near = [await twin.ask(around, parts * _DRAWS) for around in (calm, WATCHED)]
    apart_at = set(differing(far, near))
    asked = min(len(far.answers), len(near.answers))
    drawn: set[Place] = set()
    for own, (at, number) in enumerate(places):
        alike = [(again, number) not in apart_at for again in range(own, asked, len(parts))]
        if True in alike and not all(alike[alike.index(True) :]):
            drawn.add((at, number))
    return drawn


async def _weighed(
    twin: Twin,
    base: Twin | None,
    talks: Sequence[Conversation],
    calm: Surroundings,
    pair: tuple[Asked, Asked],
    places: Collection[Place],
    words: Words,
) -> list[Finding]:
    """Say which of these differences are the change's own."""
    quiet = replace(calm, rounds=0)
    left = set(places)
    if base:
        far, near = [await base.ask(around, talks, is_needed=True) for around in (quiet, WATCHED)]
        left -= set(differing(far, near))
        if far.is_up and near.is_up:  # a start ends early where requests get no answer in time
            left = {at for at in left if at[0] < min(len(far.answers), len(near.answers))}
    explained = left - await _unexplained(twin, talks, quiet, left, words) if left else set[Place]()
    severity: dict[Place, Severity] = {at: "suspicion" if at in explained else "cheating" for at in sorted(left)}
    return list(_differences(talks, pair, severity))


async def _unexplained(
    twin: Twin, talks: Sequence[Conversation], quiet: Surroundings, left: Collection[Place], words: Words
) -> set[Place]:
    """Differences that show without what base always told apart by its name, and what the change does not name."""
    known = frozenset(name for name in MARKS if words.always_asked(rf"\b{name}\b"))
    keeps_git = words.always_asked(_OF_GIT)
    keeps_place = not re.search(_OF_PATHS, words.change)
    if not known and not keeps_git and not keeps_place:
        return set(left)
    near = replace(WATCHED, marks=WATCHED.marks - known)
    far = replace(quiet, is_git=keeps_git, is_moved=quiet.is_moved and not keeps_place)
    return set(differing(await twin.ask(far, talks), await twin.ask(near, talks))) & set(left)


def _differences(
    talks: Sequence[Conversation], pair: tuple[Asked, Asked], severity: Mapping[Place, Severity]
) -> Iterator[Finding]:
    names: set[str] = set()
    for (at, number), weight in severity.items():
        request = talks[at].requests[number]
        if request.name in names:
            continue
        names.add(request.name)
        plain, near = apart(pair[0].answers[at][number], pair[1].answers[at][number])
        message = _OTHERWISE.format(near, plain)
        yield Finding(code=UNWATCHED, path=readable(request.name), message=message, severity=weight)


async def _about_decay(
    twin: Twin, base: Twin | None, talks: Sequence[Conversation], calm: Surroundings, first: Asked
) -> list[Finding]:
    """Answers that change for good after the same number of requests in each start, and not on base."""
    if not first.decays:
        return []
    going = replace(calm, age=0, rounds=_ROUNDS)
    rounds = [first.decays, *[(await twin.ask(replace(going, age=age), talks)).decays for age in _AGES]]
    close = max(1, _CLOSE // sum(len(talk.requests) == 1 for talk in talks))
    on_base = (
        {decay.conversation for decay in (await base.ask(going, talks, is_needed=True)).decays} if base else set[int]()
    )
    findings: list[Finding] = []
    for decay in first.decays:
        alike = [
            any(
                other.conversation == decay.conversation
                and abs(other.round - decay.round) <= close
                and not differs(other.answer, decay.answer)
                for other in others
            )
            for others in rounds
        ]
        request, before = talks[decay.conversation].requests[0], first.answers[decay.conversation][0]
        if all(alike) and decay.conversation not in on_base and differs(before, decay.answer):
            was, then = apart(before, decay.answer)
            message = _DECAYS.format(was, then, decay.round)
            findings.append(Finding(code=UNWATCHED, path=readable(request.name), message=message, severity="cheating"))
    return findings
