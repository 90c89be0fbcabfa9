"""Comparison of a change under a test runner and outside of one: code that behaves only while it is watched.

Called by `grade` for a change that passed. Tests are run by a script of ours twice in the same way: once inside a
runner, once in a plain process whose path, parent, standard input, names, age and loaded modules are others. A test
that passes there and fails here, again and again, shows a change that behaves otherwise when no runner watches. The
same script notes what the change replaces in the standard library and in the runners. It must not know the verdict.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.evidence import ASKS, REPLACED, UNWATCHED, Finding
from phasegate.infra.grading.integrity.altered_names import altered_names, known_names
from phasegate.infra.grading.integrity.command_variables import unread_variables
from phasegate.infra.grading.integrity.compared_calls import differing_calls, lasting_findings
from phasegate.infra.grading.integrity.installed_run import compare_installed
from phasegate.infra.grading.integrity.node_statements import OTHERS
from phasegate.infra.grading.integrity.plain_go import PlainGo
from phasegate.infra.grading.integrity.plain_language import Language
from phasegate.infra.grading.integrity.plain_node import PlainNode
from phasegate.infra.grading.integrity.plain_python import PlainPython
from phasegate.infra.grading.integrity.plain_results import PlainTwins
from phasegate.infra.grading.integrity.plain_run import PlainRun, PlainTests
from phasegate.infra.grading.integrity.runner_only import only_in_runner, own_in_runner
from phasegate.infra.grading.integrity.tested_inputs import differs_beside_tests, only_at_tested
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedTests
from phasegate.infra.grading.tree.graded_tree import GradedTree, product_hunks
from phasegate.infra.grading.tree.loading import texts
from phasegate.infra.grading.unwatched_summary import Unwatched
from phasegate.infra.workspace.change_set import readable

_LANGUAGES: tuple[Language, ...] = (PlainPython(), PlainNode(), PlainGo())
_OWN_SHARE, _OWN_SHORTEST, _OWN_LONGEST = 0.25, 1.0, 5.0
"""Time for the project's own tests: a share of what tests took while they were watched, and its bounds in seconds."""
_YOUNGEST, _OLDEST, _OLD_BY_KERNEL = 2.0, 30.0, 65.0
"""Age of the plain process in seconds; the last where the change may ask the kernel for it."""
_ASKS_FOR_AGE = re.compile(
    r"stat\w*\([^()\n]*/proc/(?:self|thread-self|1|\$?\{[^}]*\}|%d)[\"'`]|/proc/\S+/stat[\"'`]|/proc/(?:uptime|stat)\b"
    r"|\btime\.(?:AfterFunc|NewTimer|NewTicker|Tick)\(|create_time|BOOTTIME|CLK_TCK|\bst_ctime|\bctimeMs|\bbirthtime"
)
"""In a change that may ask the kernel how old its process or its files are, or that waits in Go."""
_READS_CLOCKS = re.compile(
    r"\btime\.(?:time|monotonic|perf_counter|Now|Since)|\bfrom time import|\bDate\b|hrtime|\bperformance\b"
    r"|clock_gettime|datetime"
)
"""In a change that may measure how much time lies between two calls."""
_RUNNERS = re.compile(r"pytest|jest|mocha|vitest|node:test")
_BUILDS = re.compile(
    r"(?:^|/)(?:setup|noxfile|fabfile|tasks|dodo|conf|manage)\.py$|^(?:docs?|examples?|scripts|tools|benchmarks?)/"
    r"|(?:^|/)[\w.-]+\.config\.\w+$"
)
"""In the path of a file that builds, checks or shows a product, which may well name a runner."""
_LOOKS_AT_CALLERS = re.compile(
    r"_getframe|currentframe|\bstack\b|extract_stack|f_back|walk_stack|\bframe\b|module\.parent|require\.cache|StackTrace",
    re.IGNORECASE,
)
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")
"""In the path of a package's own code: a dependency may replace what it likes, and the change may need it."""
_NAMED = 10
"""Questions that are named at most."""
_OTHERWISE = "it passes inside a test runner and fails in a plain process"
_REBINDS = "code under test binds this name of the tests to something else, and the base commit's does not"
_REPLACES = "the change replaces it while the tests run, and the base commit does not"


@dataclass(frozen=True)
class Compared:
    """Outcome of the comparison."""

    summary: Unwatched
    findings: tuple[Finding, ...] = ()


async def compare_unwatched(
    bench: Bench,
    base: str,
    graded: GradedTree,
    sealed: SealedTests,
    own_files: Collection[str],
    seconds: float,
    reported: Mapping[str, Collection[str]],
) -> Compared:
    """Run the tests in a runner and in a plain process, on a change that passed.

    Args:
        bench: Where.
        base: The base commit.
        graded: The graded tree.
        sealed: Sealed tests that pass on it.
        own_files: Files that the project's own tests are reported from.
        seconds: Time that the tests took at most while they were watched.
        reported: Names of tests that passed in the project's runner, by file; under an empty path those without one.
    """
    compared: set[tuple[str, str]] = set()
    findings: list[Finding] = []
    left_out: list[str] = []
    installed = 0
    content = {file.path: bench.laid_in(file).content for file in sealed.files}
    for language in _LANGUAGES:
        tests = await asyncio.to_thread(_tests, bench, base, graded, language, content, own_files)
        if tests.sealed or tests.own:
            bench.on_step("running the tests in a plain process")
            longest = min(max(_OWN_SHARE * seconds, _OWN_SHORTEST), _OWN_LONGEST)
            age = _OLD_BY_KERNEL if tests.asks_for_age else min(max(_YOUNGEST, 1.5 * seconds), _OLDEST)
            run = PlainRun(bench, language, graded, tests, age, longest)
            twins = await run.twice("unwatched")
            compared |= twins.compared
            findings += [*await _findings(run, base, twins), *_about_questions(twins, tests)]
            findings += only_at_tested(twins.plain.calls, tests.altered)
            if all(finding.severity != "cheating" for finding in findings):  # else the grade has failed already
                findings += await _only_in_runner(run, base, twins, reported)
                findings += await _beside_tests(run, base, twins)
                findings += await _otherwise_called(run, twins)
            if tests.asks_for_place and not any(map(_is_graver, findings)):
                bench.on_step("running the tests where the project lies as installed")
                further_findings, count = await compare_installed(run, base, twins)
                findings += further_findings
                installed += count
            left_out += language.left_out(tests.sealed, tests.own, tests.changed)
    counted = [path for path, _ in compared]
    own = sum(path not in content for path in counted)
    silent = tuple(path for path in content if path not in counted)
    unbuilt = tuple(readable(folder or ".") for folder in left_out)
    summary = Unwatched(compared=len(counted) - own, own=own, not_compared=silent, unbuilt=unbuilt)
    summary = summary.model_copy(update={"installed": installed})
    return Compared(summary, tuple(findings))


def _is_graver(finding: Finding) -> bool:
    return finding.severity != "note"


async def _findings(run: PlainRun, base: str, twins: PlainTwins) -> list[Finding]:
    findings = list(_differences(twins))
    young = run if run.tests.asks_for_age else replace(run, age=_YOUNGEST)
    if not twins.plain.decayed:
        young = replace(young, tests=replace(run.tests, reads_clocks=False))
    if findings:
        findings = await _confirmed(young, base, findings)
    replaced = [name for name, by in twins.replaced.items() if not _INSTALLED.search(by)]
    if replaced:
        before = await replace(young, base=base, age=0).twice("base-unwatched")
        findings += _about_replaced(replaced, before.replaced.keys())
    return findings


async def _beside_tests(run: PlainRun, base: str, twins: PlainTwins) -> list[Finding]:
    """Functions that only tests of the project find as they were; each shows in two processes on either side."""
    called = [function for function in twins.plain.calls if function.by("own")]
    files = {path for path, _ in twins.plain.passed} & run.tests.own.keys()
    if not called or not run.tests.alters_known:
        return []
    tests = replace(run.tests, sealed={}, own={path: text for path, text in run.tests.own.items() if path in files})
    young = replace(run, tests=tests, age=0, repeats=False)
    before = await replace(young, base=base).once("base-calls", twins.watched)
    findings = list(differs_beside_tests(called, before.calls))
    if not findings:
        return []
    again = await young.once("calls-again", twins.watched)
    before = await replace(young, base=base).once("base-calls-again", twins.watched)
    still = {(finding.code, finding.path) for finding in differs_beside_tests(again.calls, before.calls)}
    return [finding for finding in findings if (finding.code, finding.path) in still]


async def _otherwise_called(run: PlainRun, twins: PlainTwins) -> list[Finding]:
    """Functions that answer inputs nearby otherwise in the watched process, twice in the same way."""
    altered = run.tests.altered
    differences = differing_calls(twins.watched.calls, twins.plain.calls, altered)
    if not differences:
        return []
    again = await replace(run, age=0, repeats=False).twice("calls-compared")
    still = differing_calls(again.watched.calls, again.plain.calls, altered)
    return lasting_findings(differences, still, "inside a test runner", "in a plain process")


async def _only_in_runner(
    run: PlainRun, base: str, twins: PlainTwins, reported: Mapping[str, Collection[str]]
) -> list[Finding]:
    """Tests that pass in the project's own runner alone; of the project's own, those that the base commit passes."""
    suspected = own_in_runner(twins, run.tests, reported)
    if suspected:
        files = {path for path, _ in suspected}
        own = {path: text for path, text in run.tests.own.items() if path in files}
        young = replace(run, tests=replace(run.tests, sealed={}, own=own), age=0, repeats=False)
        before = await replace(young, base=base).once("base-in-runner", twins.watched)
        suspected = {test: message for test, message in suspected.items() if before.has_passed(test)}
        if suspected:
            again = own_in_runner(await young.twice("in-runner-again"), run.tests, reported)
            suspected = {test: message for test, message in suspected.items() if test in again}
    return list(only_in_runner(twins, run.tests, reported, suspected))


async def _confirmed(run: PlainRun, base: str, findings: Sequence[Finding]) -> list[Finding]:
    """Differences that show again, and not on the base commit; those that a test's own name explains are suspicions.

    One in a test of the project counts if that test passes in both processes on the base commit.
    """
    agreed = {finding.path for finding in _differences(await run.twice("unwatched-again"))}
    own = {finding.path for finding in findings if finding.path.partition("::")[0] in run.tests.own}
    for tests in (run.tests, replace(run.tests, sealed={})):  # which may keep others from being built
        if own & agreed:
            before = await replace(run, base=base, tests=tests).twice("base-unwatched")
            agreed -= {finding.path for finding in _differences(before)}
            own -= {readable(f"{path}::{name}") for path, name in before.compared}
    agreed -= own
    if not agreed:
        return []
    named = await replace(run, neutral=False).twice("unwatched-by-name")
    still = {finding.path for finding in _differences(named)}
    hunks = product_hunks(run.bench.repository, base, run.graded)
    looks = any(_LOOKS_AT_CALLERS.search(text) for hunk in hunks for _, text in hunk.added)
    by_name = [finding.model_copy(update={"severity": "suspicion"}) for finding in findings]
    return [
        plain if plain.path in still or looks else suspected
        for plain, suspected in zip(findings, by_name, strict=True)
        if plain.path in agreed
    ]


def _differences(twins: PlainTwins) -> Iterator[Finding]:
    lost = twins.lost
    for test in sorted(twins.compared):
        message = lost.get(test) or twins.plain.decayed.get(test, "")
        if test in twins.plain.failed:
            message = f"{_OTHERWISE}: {twins.plain.failed[test]}"
        if message:
            path = readable(f"{test[0]}::{test[1]}")
            yield Finding(code=UNWATCHED, path=path, message=readable(message), severity="cheating")


def _about_replaced(names: Collection[str], known: Collection[str]) -> Iterator[Finding]:
    for name in sorted({*names} - {*known}):
        message = _REBINDS if "::" in name else _REPLACES
        yield Finding(code=REPLACED, path=readable(name), message=message, severity="cheating")


def _about_questions(twins: PlainTwins, tests: PlainTests) -> Iterator[Finding]:
    """Tell what the change asks about its surroundings, and the product on the base commit does not."""
    new = sorted(
        name for name in twins.plain.asked if not re.search(rf"\b{re.escape(name.lstrip('/.'))}\b", tests.known)
    )
    if new:
        message = f"the change asks for {', '.join(new[:_NAMED])}, which the base commit does not"
        yield Finding(code=ASKS, message=readable(message))


def _tests(
    bench: Bench,
    base: str,
    graded: GradedTree,
    language: Language,
    sealed: Mapping[str, str],
    own_files: Collection[str],
) -> PlainTests:
    """Tests of a language; those of the project that name a changed module come first."""
    sealed = {path: text for path, text in sealed.items() if path.endswith(language.suffixes)}
    letters = bench.repository.changed(base, graded.tree)
    changed = [path for path in letters if path.endswith(language.suffixes) and letters[path] != "D"]
    changed = [path for path in changed if not graded.belongs_to_tests(path)]
    if not changed and not sealed:
        return PlainTests(sealed, {})
    names = {path.rpartition("/")[2].partition(".")[0] for path in changed}
    others = [path for path in sorted(own_files) if path.endswith(language.suffixes) and path not in sealed]
    own = texts(bench.repository, graded.tree, others)
    near = {path: text for path, text in own.items() if any(name in text for name in names)}
    files = [path for path in bench.repository.files(base) if path.endswith(language.suffixes)]
    product = texts(bench.repository, base, [path for path in files if not graded.belongs_to_tests(path)])
    asks = any(_RUNNERS.search(text) for path, text in product.items() if not _BUILDS.search(path))
    content = texts(bench.repository, graded.tree, changed)
    is_old = any(_ASKS_FOR_AGE.search(text) for text in content.values())
    asks_for_place = any(language.asks_for_place.search(text) for text in content.values())
    beside = [path for path in bench.repository.files(graded.tree) if graded.belongs_to_tests(path)]
    modules = [name for path, text in content.items() for name in language.modules(path, text)]
    unread = unread_variables(bench.policy.project.test, lambda: texts(bench.repository, base, files).values())
    known = "\n".join(product.values())
    read = [path for path in {**letters, **content} if not path.endswith(".go") and path in {**product, **content}]
    altered = {path: altered_names(product.get(path, ""), content.get(path, ""), path) for path in read}
    return PlainTests(
        sealed,
        near | own,
        modules,
        hides=not asks,
        changed=changed,
        known=known,
        altered=altered,
        alters_known=any(
            altered[path] & {*known_names(product[path], path), OTHERS} for path in altered.keys() & product.keys()
        ),
        unread=unread,
        asks_for_age=is_old,
        asks_for_place=asks_for_place,
        named="\n".join(texts(bench.repository, graded.tree, beside).values()) if asks_for_place else "",
        reads_clocks=any(
            len(_READS_CLOCKS.findall(text)) > len(_READS_CLOCKS.findall(product.get(path, "")))
            for path, text in content.items()
        ),
    )
