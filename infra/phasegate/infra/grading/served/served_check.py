"""Check of a service as it is served: the requests of the tests are sent to the candidate and to base.

Called by `further_checks` for a change that passed. The service is started as `[deploy] start` says, in no runner, from
a checkout like a release's. Answers that depend on being watched fail the grade, and so does a candidate that does not
come up where base does; answers that differ from base's are named. It must not know the verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.grading.evidence import NOT_SERVED, Finding
from phasegate.infra.grading.runner.narrowing import unneeded_tests
from phasegate.infra.grading.runner.runner import Bench, Checkout
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.served.contradictions import contradictions
from phasegate.infra.grading.served.exchanges import Conversation, ServedRequest, bounded, conversations
from phasegate.infra.grading.served.literals import read_requests
from phasegate.infra.grading.served.no_answer import Circumstances, without_answer
from phasegate.infra.grading.served.recording import Recording
from phasegate.infra.grading.served.routes import about_routes, beside_tests, differences
from phasegate.infra.grading.served.service_run import Asked, Surroundings, Twin, twin_of
from phasegate.infra.grading.served.test_setup import TestSetup
from phasegate.infra.grading.served.twins import Words, compare_twins
from phasegate.infra.grading.served_summary import ServedSummary
from phasegate.infra.grading.tree.graded_tree import GradedTree, product_hunks
from phasegate.infra.grading.tree.loading import texts
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.workspace.change_set import readable

_YOUNGEST, _OLDEST = 2.0, 10.0
"""Bounds, in seconds, on the age at which a candidate is first asked."""
_ROUNDS = 300
_PATIENCE = 2
"""Factor on the time to come up, in the last try of a candidate that did not where base did."""
_WHOLE_SUITE_SECONDS = 60.0
"""Time of the tests up to which all of them run once more to be recorded."""
_SLACK = timedelta(minutes=2)
_MOST_OF_TESTS = 10
"""Paths that are read off a test file of the project, where nothing is recorded."""
_SOURCES = (".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".go", ".rs", ".java", ".kt", ".rb", ".php", ".cs", ".sh")
_SETTINGS = (".toml", ".ini", ".cfg", ".json", "jest.config.js", "vitest.config.ts", "vite.config.ts", ".env")
_NEITHER = "it does not come up here, and neither does base: {}"
_NOT_UP = "the candidate does not come up as `[deploy] start` says, and base does"
_SETUP = "its setup fails in a checkout of its own"
_LOG = 600


@dataclass(frozen=True)
class Served:
    """Outcome of the check."""

    summary: ServedSummary
    findings: tuple[Finding, ...] = ()


async def check_served(
    bench: Bench, base: str, graded: GradedTree, sealed: SealedTests, own_files: Collection[str], seconds: float
) -> Served | None:
    """Serve a change that passed, and compare what it answers.

    Args:
        bench: Where.
        base: The base commit.
        graded: The graded tree.
        sealed: Sealed tests that pass on it.
        own_files: Files that the project's own tests are reported from.
        seconds: Time that the tests took.

    Returns:
        `None` if policy names no start command.
    """
    if not bench.policy.deploy.start:
        return None
    bench.on_step("recording the requests of the tests")
    talks = await _requests(bench, base, graded, sealed, own_files, seconds)
    health = ServedRequest("GET", bench.policy.deploy.health)
    talks = [*talks, Conversation("", (health,))]
    known = await asyncio.to_thread(_circumstances, bench, graded, sealed, seconds)
    bench.on_step("asking the served candidate")
    calm = Surroundings(is_moved=True, age=min(max(_YOUNGEST, seconds), _OLDEST), rounds=_ROUNDS)
    async with twin_of(bench, graded, graded.tree, "change") as twin, twin_of(bench, graded, base, "base") as other:
        if twin is None:
            return Served(ServedSummary(omitted=_SETUP))
        try:
            words = await asyncio.to_thread(_words, bench, base, graded)
            return await _compared(bench, (twin, other), talks, calm, words, known)
        except ServiceFailed as error:
            return Served(ServedSummary(omitted=readable(error.message)))


async def _compared(
    bench: Bench,
    pair: tuple[Twin, Twin | None],
    talks: Sequence[Conversation],
    calm: Surroundings,
    words: Words,
    known: Circumstances,
) -> Served:
    twin, other = pair
    first = await twin.ask(calm, talks)
    if not first.is_up:
        calm = replace(calm, is_moved=False)
        first = await twin.ask(calm, talks, is_needed=True)
    before = await other.ask(replace(calm, age=0, rounds=0), talks) if other else None
    if not first.is_up and before and before.is_up:
        first = await twin.ask(calm, talks, patience=_PATIENCE, is_needed=True)
    if not first.is_up:
        return _not_up(bench, first, before)
    if before is None or not before.is_up:
        other = None
    twins = await compare_twins(twin, other, talks, calm, first, words)
    started = before if other else None
    findings = [*twins.findings, *await about_routes(twin, talks, calm, first, started, words)]
    weaker = [
        *await without_answer(twin, talks, calm, first, started, known),
        *await contradictions((twin, twins), talks, calm, started, known, words.product),
    ]
    paths, asked = {finding.path for finding in findings}, talks[: len(first.answers)]
    findings += [finding for finding in weaker if finding.path not in paths]
    served = Served(
        ServedSummary(
            requests=sum(len(talk.requests) for talk in asked),
            from_sealed=sum(len(talk.requests) for talk in asked if talk.is_sealed),
            not_sent=sum(len(talk.requests) for talk in talks[len(asked) :]),
            recorded=any(request.recorded for talk in talks for request in talk.requests),
            beside_tests=tuple(beside_tests(talks, first)),
        ),
        tuple(findings),
    )
    if other is None or before is None:
        why = before.why if before else _SETUP
        return replace(served, summary=served.summary.model_copy(update={"base_omitted": readable(why)}))
    answer_differences = await differences((other, before), (twin, twins), talks, calm)
    return replace(served, summary=served.summary.model_copy(update={"differences": answer_differences}))


def _not_up(bench: Bench, first: Asked, before: Asked | None) -> Served:
    """Outcome for a candidate that does not come up: its own fault only where base does."""
    why = readable(first.why)
    if before is None or not before.is_up:
        names = ", ".join(bench.policy.deploy.environment)
        hint = f"; of `[deploy] environment`, nothing of the engine's is handed in here: {names}" if names else ""
        return Served(ServedSummary(omitted=_NEITHER.format(why) + hint))
    log = " / ".join(line for line in first.log.splitlines() if line.strip())[-_LOG:]
    message = f"{_NOT_UP}: {why}" + (f"; its output ends: {readable(log)}" if log else "")
    finding = Finding(code=NOT_SERVED, path="[deploy] start", message=message, severity="cheating")
    return Served(ServedSummary(omitted=f"{_NOT_UP}: {why}"), (finding,))


async def _requests(
    bench: Bench, base: str, graded: GradedTree, sealed: SealedTests, own_files: Collection[str], seconds: float
) -> list[Conversation]:
    """Requests of the sealed tests first, then of the project's own: recorded, or else read off the tests' text."""
    files = bench.repository.files(graded.tree)
    content = {file.path: file.content for file in sealed.files}
    criteria = {file.path: file.criteria for file in sealed.files}
    tests = [path for path in files if is_test_file(path) and path not in graded.product]
    services = [name for service in bench.policy.project.services for name in service.exported]
    recording = Recording([*tests, *content], services)
    left_out: frozenset[str] = frozenset()
    if seconds > _WHOLE_SUITE_SECONDS:
        known, command = set(own_files) - graded.product, bench.policy.project.test
        left_out = await asyncio.to_thread(unneeded_tests, bench.repository, graded.tree, known, content, command)
    checkout = Checkout(
        "change-recorded", graded.tree, graded.belongs_to_tests, sealed, left_out=left_out, origin="change"
    )
    await _hurried(bench, seconds).run(checkout, recording)
    talks = conversations(recording.found, criteria, content)
    routes = {request.route for talk in talks for request in talk.requests}
    silent = {path: text for path, text in content.items() if not any(talk.file == path for talk in talks)}
    read = list(read_requests(silent, criteria))
    if not any(not talk.is_sealed for talk in talks):
        own = [path for path in own_files if path not in content and path.endswith(_SOURCES)]
        text = await asyncio.to_thread(texts, bench.repository, base, own)
        read += read_requests(text, criteria, _MOST_OF_TESTS)
    added = [talk for talk in read if talk.requests[0].route not in routes]
    return bounded(sorted([*talks, *added], key=lambda talk: not talk.is_sealed))


def _hurried(bench: Bench, seconds: float) -> Bench:
    """A bench that gives a run of the tests some time more than they took, and not all that policy allows."""
    project = bench.policy.project
    limit = min(project.test_timeout, timedelta(seconds=2 * seconds) + _SLACK)
    policy = bench.policy.model_copy(update={"project": project.model_copy(update={"test_timeout": limit})})
    return replace(bench, policy=policy)


def _circumstances(bench: Bench, graded: GradedTree, sealed: SealedTests, seconds: float) -> Circumstances:
    """Reasons for which an honest service may answer otherwise than in the tests."""
    policy = bench.policy
    tests = [path for path in bench.repository.files(graded.tree) if graded.belongs_to_tests(path)]
    shared = texts(bench.repository, graded.tree, [path for path in tests if path.endswith(_SOURCES)])
    settings = texts(bench.repository, graded.tree, [path for path in tests if path.endswith(_SETTINGS)])
    content = {file.path: file.content for file in sealed.files}
    is_short = not set(policy.deploy.environment) <= set(policy.sandbox.environment)
    setup = TestSetup(content, shared, "\n".join(settings.values()), policy.project.test)
    return Circumstances(setup, seconds, is_short)


def _words(bench: Bench, base: str, graded: GradedTree) -> Words:
    added = (text for hunk in product_hunks(bench.repository, base, graded) for _, text in hunk.added)
    return Words("\n".join(added), _product(bench, base, graded), _product(bench, graded.tree, graded))


def _product(bench: Bench, commit: str, graded: GradedTree) -> str:
    paths = [path for path in bench.repository.files(commit) if path.endswith(_SOURCES)]
    return "\n".join(
        texts(bench.repository, commit, [path for path in paths if not graded.belongs_to_tests(path)]).values()
    )
