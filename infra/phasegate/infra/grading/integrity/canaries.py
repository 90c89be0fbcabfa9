"""Tests that must fail, planted among the sealed ones: a report that calls one of them passed is not to be believed.

The code under test runs in the process that writes the report, so a report can be forged whatever its format is
(docs/decisions/0009). Two kinds are planted, under ordinary names that are new in every run. A *canary* fails by
itself. A *counter-test* is a sealed test whose expectations were made wrong: where the original honestly passes it must
fail, so it tells objects that agree with anything, too. Called by `grade`. It must not know how tests are run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.integrity.canary_go import go_canary
from phasegate.infra.grading.integrity.canary_jvm import jvm_canary
from phasegate.infra.grading.integrity.canary_node import node_canary
from phasegate.infra.grading.integrity.canary_python import python_canary
from phasegate.infra.grading.integrity.canary_rust import rust_canary
from phasegate.infra.grading.integrity.counter_tests import counter_tests
from phasegate.infra.grading.integrity.lenient_copies import Copies
from phasegate.infra.grading.integrity.literal_counter_tests import literal_counter_tests
from phasegate.infra.grading.runner.attribution import Attribution, attribute, unnumbered
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.runner.report_cargo import WHOLE
from phasegate.infra.grading.runner.runner import TestRun
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.planted_names import name_missing_in, path_beside, word_missing_in

_LANGUAGES = {"py": "python", "java": "java", "kt": "kotlin", "go": "go", "rs": "rust"} | dict.fromkeys(
    ("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"), "node"
)
_LEFT_OUT = re.compile(r"\[… \d+ characters left out …\]")


@dataclass(frozen=True)
class Planted:
    """Tests planted in one run."""

    canaries: tuple[SealedFile, ...] = ()
    counters: tuple[SealedFile, ...] = ()
    must_fail: frozenset[tuple[str, str]] = frozenset()
    """Canaries and counter-tests by the path of their file and their name."""
    suffix: str = ""
    """Ending of names of counter-tests that are copies of another one."""

    @property
    def files(self) -> tuple[SealedFile, ...]:
        """All of them."""
        return (*self.canaries, *self.counters)


def plant_canaries(
    sealed: SealedTests, taken: Iterable[str], *, alone: bool = False, languages: Collection[str] | None = None
) -> Planted:
    """Plant one canary beside the first sealed file of each language that has one.

    Args:
        sealed: The sealed tests.
        taken: Paths that are not to be used.
        alone: True if nothing of the sealed files may be in it.
        languages: The languages to plant in; `None` for all.
    """
    chosen: dict[str, tuple[SealedFile, str]] = {}
    paths = {*taken, *(file.path for file in sealed.files)}
    for file in _in_turn(sealed.files):
        spoken = language(file.path)
        if spoken and spoken not in chosen and (languages is None or spoken in languages):
            canary = _canary(file, paths, alone=alone)
            chosen |= {spoken: canary} if canary else {}
    canaries = tuple(chosen.values())
    return Planted(
        canaries=tuple(canary for canary, _ in canaries), must_fail=frozenset((c.path, name) for c, name in canaries)
    )


def plant_counter_tests(
    sealed: SealedTests, planted: Planted, files: Collection[str] = (), matching: Collection[str] | None = None
) -> Planted:
    """Put counter-tests in the place of each sealed file that allows one, beside the canaries.

    In its place, so that code which looks its answers up in the tests finds wrong ones only.

    Args:
        sealed: The sealed tests.
        planted: The canaries.
        files: Paths of the repository, by which its own modules are known.
        matching: Ids of the criteria that ask for objects which equal others; `None`: not known.
    """
    modules = _modules(files)
    counters: list[SealedFile] = []
    names = set(planted.must_fail)
    everything = "\n".join(file.content for file in sealed.files)
    titles = " ".join(name for _, name in planted.must_fail)  # a copy named like a canary would be taken for it
    suffix = f"_{word_missing_in(f'{everything} {titles}')}"
    for file in sealed.files:
        spoken = language(file.path)
        asks = matching is None or bool(matching if not file.criteria else set(file.criteria) & set(matching))
        if spoken == "python":
            helper = name_missing_in(f"{everything} {suffix}")
            copies = Copies(suffix, helper, name_missing_in(f"{everything} {suffix} {helper}"), near=not asks)
            content, own = counter_tests(file.content, () if asks else modules, copies)
        else:
            altered = literal_counter_tests(spoken)
            content, own = altered(file.content) if altered else ("", frozenset[str]())
        if own:
            counters.append(SealedFile(path=file.path, content=content, criteria=()))
            names |= {(file.path, name) for name in own}
    return Planted(planted.canaries, tuple(counters), frozenset(names), suffix)


def language(path: str) -> str:
    """Name the language of a test file, or an empty string if no canary is known for it."""
    return _LANGUAGES.get(path.rpartition(".")[2], "")


def attribute_planted(
    cases: Iterable[TestCase],
    sealed: SealedTests,
    planted: Planted,
    repository_files: Collection[str],
    known: Collection[str],
) -> Attribution:
    """Tell the planted tests, the sealed ones and the project's own apart.

    A canary is known by its title, wherever a report puts it: many reports name no file.

    Args:
        cases: A run's tests.
        sealed: The sealed files that were there.
        planted: The planted files that were there.
        repository_files: As for `attribute`.
        known: As for `attribute`.
    """
    everything = SealedTests(files=(*sealed.files, *planted.files))
    titles = {path: name for path, name in planted.must_fail if path in {file.path for file in planted.canaries}}
    own: dict[str, list[TestCase]] = {path: [] for path in titles}
    others: list[TestCase] = []
    for case in cases:
        path = next((path for path, title in titles.items() if _holds_title(case, title)), None)
        (others if path is None else own[path]).append(case)
    attribution = attribute(others, everything, repository_files, known)
    kept = {
        file.path: _without_copies(attribution.sealed[file.path], attribution.sealed[canary.path])
        for canary in planted.canaries
        for file in sealed.files
        if file.path != canary.path and file.content in canary.content
    }
    planted_cases = {path: (*cases, *attribution.sealed[path]) for path, cases in own.items()}
    return replace(attribution, sealed=attribution.sealed | kept | planted_cases)


def _without_copies(cases: Sequence[TestCase], copies: Collection[TestCase]) -> tuple[TestCase, ...]:
    """A sealed file's outcomes without those of its copy in a canary, where the report does not tell the two apart.

    Both have as many tests of each name; the worst outcomes, which come first, stay the sealed file's.
    """
    alike: dict[str, list[TestCase]] = {}
    for case in cases:
        if case in copies:
            alike.setdefault(unnumbered(case.id), []).append(case)
    surplus = {case for group in alike.values() if len(group) % 2 == 0 for case in group[len(group) // 2 :]}
    return tuple(case for case in cases if case not in surplus)


def own_cases(planted: Planted, canary: SealedFile, cases: dict[str, tuple[TestCase, ...]]) -> list[TestCase]:
    """List the outcomes of a canary, without those of sealed tests that its file holds besides."""
    titles = [name for path, name in planted.must_fail if path == canary.path]
    return [case for case in cases[canary.path] if any(_holds_title(case, title) for title in titles)]


def is_broken(canary: SealedFile, cases: dict[str, tuple[TestCase, ...]]) -> bool:
    """Tell if the process of a canary's own file ended otherwise than its tests did."""
    return any(case.status == "error" and case.name == WHOLE for case in cases[canary.path])


def passing(files: Iterable[SealedFile], cases: dict[str, tuple[TestCase, ...]]) -> bool:
    """Tell if any test of these files is reported as passed."""
    return any(case.status == "passed" for file in files for case in cases[file.path])


def agreeing(planted: Planted, cases: dict[str, tuple[TestCase, ...]]) -> list[tuple[str, str]]:
    """List the tests whose counter-tests are reported as passed, by file and name.

    Reports of TAP have a case for each check of a test, of which one is made wrong: no case of the test may fail.
    """
    tests: set[tuple[str, str]] = set()
    counters = {file.path for file in planted.counters}
    for path, name in planted.must_fail:
        grouped = language(path) == "node"
        called = [case for case in cases[path] if _is_called(case, name, grouped=grouped)] if path in counters else []
        statuses = {case.status for case in called}
        if "passed" in statuses and not (grouped and statuses & {"failed", "error"}):
            tests.add((path, name.removesuffix(planted.suffix)))
    return sorted(tests)


def masked(run: TestRun, planted: Planted) -> TestRun:
    """Take every line that names a planted test or file out of a run's texts, which implementers are shown."""
    canaries = {file.path for file in planted.canaries}
    hidden = {name for path, name in planted.must_fail if path in canaries}
    hidden |= {path.rpartition("/")[2].partition(".")[0] for path in canaries}
    if not hidden:
        return run
    cases = tuple(replace(case, message=_without(case.message, hidden)) for case in run.cases)
    rewritten = tuple(path for path in run.rewritten if path not in canaries)
    return replace(run, cases=cases, said=_without(run.said, hidden), rewritten=rewritten)


def _modules(files: Collection[str]) -> frozenset[str]:
    """The modules at the top of a repository, or of its folder for sources."""
    tops = {path.removeprefix("src/").removeprefix("lib/").partition("/")[0] for path in files if path.endswith(".py")}
    return frozenset(top.removesuffix(".py") for top in tops)


def _in_turn(files: Collection[SealedFile]) -> list[SealedFile]:
    """The files, those of Go from the last one on: Go runs them in order, and a canary stands behind all of them."""
    go = sorted((file for file in files if language(file.path) == "go"), key=lambda file: file.path, reverse=True)
    return [*(file for file in files if file not in go), *go]


def _without(text: str, hidden: Collection[str]) -> str:
    lines = text.splitlines()
    # beside a cut, a name may stand in part
    cut = {at + offset for at, line in enumerate(lines) if _LEFT_OUT.search(line) for offset in (-1, 1)}
    named = {at for at, line in enumerate(lines) if any(name in line for name in hidden)}
    return "\n".join(line for at, line in enumerate(lines) if at not in named | cut)


def _is_called(case: TestCase, name: str, *, grouped: bool) -> bool:
    """Tell if a case is the test of this name, whatever a runner adds: parameters, or the titles of its groups."""
    if not grouped:
        return re.split(r"[\[(]", case.name)[0] == name
    ends = re.compile(rf"(?:.*[^\w'\"])?{re.escape(name)}", re.DOTALL)
    return any(ends.fullmatch(title) for title in (case.name, case.classname))


def _holds_title(case: TestCase, title: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(title)}(?!\w)", case.id) is not None


def _canary(file: SealedFile, taken: Collection[str], *, alone: bool) -> tuple[SealedFile, str] | None:
    """A canary and the name of its test, or `None` if the file's runner is not known."""
    path = path_beside(file.path, taken)
    word = word_missing_in(file.content)
    match language(file.path):
        case "python":
            canary: tuple[str, str] | None = python_canary(file.content, word)
        case "node":
            canary = node_canary(file.content, word, alone=alone)
        case "java" | "kotlin":
            canary = jvm_canary(file.content, path, word)
        case "go":
            canary = go_canary(file.content, word)
        case _:
            canary = rust_canary(file.content, path, word, alone=alone)
    return (SealedFile(path=path, content=canary[0], criteria=()), canary[1]) if canary else None
