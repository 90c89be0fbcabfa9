"""Attribution of a report's tests: the sealed ones among them, and the criterion that each counts for.

Called by `verdict`. Runners name tests in different ways, so three are tried, the surest first: the report's `file`,
a class name that is the file's dotted path or, where packages are folders, the end of it, and, for what is left, the
test's name in a sealed file's text. It must not know what passing or failing means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from phasegate.infra.grading.runner.junit import TestCase, TestKey
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

_PACKAGES_ARE_FOLDERS = (".java", ".kt", ".scala", ".groovy", ".py")
_NO_CLASSES = ("unittest.loader._FailedTest", "unittest.loader.ModuleImportFailure")
"""Classes that unittest reports in place of a module that it cannot import, whose name is the test's."""
_QUOTED = re.compile(r".*\.[cm]?[jt]sx?")
"""Test files in which a test's name is a text."""
_IMPORTED = re.compile(r"(?:\brequire(?:\.resolve)?\s*\(\s*|\bfrom\s*|\bimport\s*\(?\s*)(['\"`])[^'\"`\n]*\1")
"""A module that a source imports: a text that is no title."""
_BETWEEN_TITLES = " › "


@dataclass(frozen=True)
class Attribution:
    """A report's tests, told apart."""

    sealed: dict[str, tuple[TestCase, ...]]
    """Per sealed file's path, its tests; empty for a file that yields none."""
    project: tuple[TestCase, ...]
    """All other tests."""

    def cases_for(self, criterion: str, files: Iterable[SealedFile]) -> list[TestCase]:
        """The sealed tests that count for a criterion."""
        cases: dict[str, TestCase] = {}
        for file in files:
            if criterion in file.criteria:
                for case in self.sealed[file.path]:
                    named = [other for other in file.criteria if _names(case.name, other)]
                    if not named or criterion in named:
                        cases[case.id] = case
        return list(cases.values())


def attribute(
    cases: Iterable[TestCase], sealed: SealedTests, repository_files: Collection[str], known: Collection[str]
) -> Attribution:
    """Tell sealed tests from the project's own.

    Args:
        cases: A run's tests.
        sealed: The sealed files that were there.
        repository_files: The paths of the commit that was tested; a test that one of them holds is not sealed.
        known: Ids of tests that ran without the sealed files, too.
    """
    paths = {file.path for file in sealed.files}
    dotted = _spellings((*repository_files, *paths))
    sealed_cases: dict[str, list[TestCase]] = {path: [] for path in paths}
    project: list[TestCase] = []
    unclear: list[TestCase] = []
    twins: dict[str, list[TestCase]] = {}
    before = Counter(unnumbered(id_) for id_ in known)
    for case in cases:
        path = _path_of(case, paths.union(repository_files), dotted)
        if path in paths:
            sealed_cases[path].append(case)
        elif path is not None:
            project.append(case)
        elif unnumbered(case.id) in before:
            twins.setdefault(unnumbered(case.id), []).append(case)
        else:
            unclear.append(case)
    orphans = [file for file in sealed.files if not sealed_cases[file.path]]
    for id_, group in twins.items():
        added = len(group) - before[id_]
        if added > 0 and any(_holds(file, group[0]) for file in orphans):
            old, new = _shared_out(group, added)
            project += old
            unclear += new
        else:
            project += group
    for case in unclear:
        owners = [file for file in orphans if _holds(file, case) or _keeps_from_running(case, file)]
        for file in owners:
            sealed_cases[file.path].append(case)
        if not owners:
            project.append(case)
    return Attribution({path: tuple(own) for path, own in sealed_cases.items()}, tuple(project))


def _shared_out(group: list[TestCase], added: int) -> tuple[list[TestCase], list[TestCase]]:
    """The project's and the added tests of one name, which the report does not tell apart.

    The worst outcomes count for the added ones, so that no sealed test passes by another's outcome. The project's
    keep the ids that they had without the added ones.
    """
    ids = [case.id for case in group]
    worst_first = sorted(group, key=lambda case: ("error", "failed", "skipped", "passed").index(case.status))
    turned = [*worst_first[added:], *worst_first[:added]]
    renamed = [replace(case, id=id_) for id_, case in zip(ids, turned, strict=True)]
    return renamed[:-added], renamed[-added:]


def unnumbered(id_: str) -> str:
    """A test's id or name without the number that tells it from others of that name."""
    return re.sub(r" #[0-9]+$", "", id_)


def files_of(cases: Iterable[TestCase], paths: Collection[str]) -> set[str]:
    """Files that a report's tests come from, as far as the report tells.

    Args:
        cases: A run's tests.
        paths: The paths of the commit that was tested.
    """
    return set(paths_of(cases, paths).values())


def paths_of(cases: Iterable[TestCase], paths: Collection[str]) -> dict[TestKey, str]:
    """Map each test to the file that it comes from, as far as the report tells; arguments as for `files_of`."""
    dotted = _spellings(paths)
    known = set(paths)
    return {case.key: path for case in cases if (path := _path_of(case, known, dotted)) is not None}


def _path_of(case: TestCase, paths: Collection[str], dotted: dict[str, str]) -> str | None:
    if case.file in paths:
        return case.file
    if case.classname in paths:  # as vitest writes it
        return case.classname
    if case.file and (below := dotted.get(f"/{case.file}")):  # named from the folder of a workspace
        return below
    # pytest and unittest put a module that they cannot import into the name
    name = case.name if case.classname in ("", *_NO_CLASSES) else case.classname
    while name:
        if name in dotted:
            return dotted[name]
        name = name.rpartition(".")[0]
    titles = case.name.split(_BETWEEN_TITLES)
    spelled = (_BETWEEN_TITLES.join(("", *titles[:length])) for length in range(len(titles) - 1, 0, -1))
    return next((dotted[title] for title in spelled if title in dotted), None)


def _spellings(paths: Collection[str]) -> dict[str, str]:
    """Files by other names that reports have for them."""
    below = _by_ends({path: path.split("/") for path in filter(_QUOTED.fullmatch, paths)}, "/")
    return _packaged(paths) | _titled(paths) | below | {_dotted(path): path for path in paths}


def _titled(paths: Iterable[str]) -> dict[str, str]:
    """Files by the ends of the titles that ava makes of them, as ` › folder › name`."""
    named: dict[str, Sequence[str]] = {}
    for path in filter(_QUOTED.fullmatch, paths):
        plain = path.rpartition(".")[0].replace(".spec", "", 1).replace(".test", "", 1).replace("test-", "")
        named[path] = [part for part in plain.split("/") if part != "__tests__"]
    return _by_ends(named, _BETWEEN_TITLES)


def _by_ends(named: Mapping[str, Sequence[str]], joint: str) -> dict[str, str]:
    """Files by each end of their names, the joint before it; an end that several files share tells nothing."""
    files: dict[str, str] = {}
    shared: set[str] = set()
    for path, parts in named.items():
        for at in range(len(parts)):
            end = joint.join(("", *parts[at:]))
            shared |= {end} if files.setdefault(end, path) != path else set()
    return {end: path for end, path in files.items() if end not in shared}


def _packaged(paths: Iterable[str]) -> dict[str, str]:
    """Classes by the ends of their files' dotted paths; an end that several files share tells nothing."""
    classes: dict[str, str] = {}
    shared: set[str] = set()
    for path in paths:
        if path.endswith(_PACKAGES_ARE_FOLDERS):
            name = _dotted(path)
            while name:
                shared |= {name} if classes.setdefault(name, path) != path else set()
                name = name.partition(".")[2]
    return {name: path for name, path in classes.items() if name not in shared}


def _dotted(path: str) -> str:
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0]
    return f"{folder.replace('/', '.')}.{stem}" if folder else stem


def _holds(file: SealedFile, case: TestCase) -> bool:
    """True if a test's bare name stands in a file's text, or the file's name in the test's."""
    title = unnumbered(case.name)
    name = re.split(r"[\[(/]", title)[0].strip()
    stem = _dotted(file.path).rpartition(".")[2]
    if _QUOTED.fullmatch(file.path):
        text = _IMPORTED.sub("", file.content)
        titles = {literal[2] for literal in re.finditer(r"(['\"`])([^'\"`\n]{2,200})\1", text)}
        tails = {name, title, *(title[at.end() :] for at in re.finditer(r"\s", title))}  # behind its suites' titles
        tails.add(case.classname)  # of TAP, where each assertion is a case and the test's title its suite
        is_said = not titles.isdisjoint(tails) or (name and any(f"{quote}{name}{quote}" in text for quote in "'\"`"))
    else:
        name = name.rpartition("::")[2]  # Rust puts a test's modules before its name
        is_said = len(name) > 2 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", file.content) is not None
    return bool(is_said) or stem in re.split(r"[./\\:]", f"{case.classname}/{case.file}")


def _keeps_from_running(case: TestCase, file: SealedFile) -> bool:
    """Tell if a case is an error of the whole folder that a file lies in, as of a Go package that is not built."""
    return case.status == "error" and case.file == (file.path.rpartition("/")[0] or ".")


def _names(test: str, criterion: str) -> bool:
    parts = re.findall(r"[a-z]+|[0-9]+", criterion.lower())
    pattern = r"(?<![a-z0-9])" + r"[-_ ]?".join(parts) + r"(?![a-z0-9])"
    return bool(parts) and re.search(pattern, test.lower()) is not None
