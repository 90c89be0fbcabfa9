"""Which tests of a report are the sealed ones, and which criterion each counts for.

Called by `verdict`. Runners name tests in different ways, so three are tried, the surest first: the report's `file`,
a class name that is the file's dotted path or, where packages are folders, the end of it, and, for what is left, the
test's name in a sealed file's text. It must not know what passing or failing means.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

_PACKAGES_ARE_FOLDERS = (".java", ".kt", ".scala", ".groovy")
_QUOTED = re.compile(r".*\.[cm]?[jt]sx?")
"""Test files in which a test's name is a text."""


@dataclass(frozen=True)
class Attribution:
    """A report's tests, told apart."""

    sealed: dict[str, tuple[TestCase, ...]]
    """Per sealed file's path, its tests; empty for a file that yields none."""
    project: tuple[TestCase, ...]
    """All other tests."""

    def cases_for(self, criterion: str, files: Iterable[SealedFile]) -> list[TestCase]:
        """The sealed tests that count for a criterion."""
        found: dict[str, TestCase] = {}
        for file in files:
            if criterion in file.criteria:
                for case in self.sealed[file.path]:
                    named = [other for other in file.criteria if _names(case.name, other)]
                    if not named or criterion in named:
                        found[case.id] = case
        return list(found.values())


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
    dotted = _packaged((*repository_files, *paths)) | {_dotted(path): path for path in (*repository_files, *paths)}
    found: dict[str, list[TestCase]] = {path: [] for path in paths}
    project: list[TestCase] = []
    unclear: list[TestCase] = []
    for case in cases:
        path = _path_of(case, paths.union(repository_files), dotted)
        if path in paths:
            found[path].append(case)
        elif path is not None or case.id in known:
            project.append(case)
        else:
            unclear.append(case)
    orphans = [file for file in sealed.files if not found[file.path]]
    for case in unclear:
        owners = [file for file in orphans if _holds(file, case)]
        for file in owners:
            found[file.path].append(case)
        if not owners:
            project.append(case)
    return Attribution({path: tuple(own) for path, own in found.items()}, tuple(project))


def files_of(cases: Iterable[TestCase], paths: Collection[str]) -> set[str]:
    """Files that a report's tests come from, as far as the report tells.

    Args:
        cases: A run's tests.
        paths: The paths of the commit that was tested.
    """
    dotted = _packaged(paths) | {_dotted(path): path for path in paths}
    known = set(paths)
    return {path for case in cases if (path := _path_of(case, known, dotted)) is not None}


def _path_of(case: TestCase, paths: Collection[str], dotted: dict[str, str]) -> str | None:
    if case.file in paths:
        return case.file
    name = case.classname or case.name  # pytest puts a module that it cannot import into the name
    while name:
        if name in dotted:
            return dotted[name]
        name = name.rpartition(".")[0]
    return None


def _packaged(paths: Iterable[str]) -> dict[str, str]:
    """Classes by the ends of their files' dotted paths; an end that several files share tells nothing."""
    found: dict[str, str] = {}
    shared: set[str] = set()
    for path in paths:
        if path.endswith(_PACKAGES_ARE_FOLDERS):
            name = _dotted(path)
            while name:
                shared |= {name} if found.setdefault(name, path) != path else set()
                name = name.partition(".")[2]
    return {name: path for name, path in found.items() if name not in shared}


def _dotted(path: str) -> str:
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0]
    return f"{folder.replace('/', '.')}.{stem}" if folder else stem


def _holds(file: SealedFile, case: TestCase) -> bool:
    """Whether a test's bare name stands in a file's text, or the file's name in the test's."""
    name = re.split(r"[\[(/]", case.name)[0].strip()
    stem = _dotted(file.path).rpartition(".")[2]
    if _QUOTED.fullmatch(file.path):
        is_said = any(f"{quote}{name}{quote}" in file.content for quote in "'\"`")
    else:
        is_said = len(name) > 2 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", file.content) is not None
    return is_said or stem in re.split(r"[./\\:]", f"{case.classname}/{case.file}")


def _names(test: str, criterion: str) -> bool:
    parts = re.findall(r"[a-z]+|[0-9]+", criterion.lower())
    pattern = r"(?<![a-z0-9])" + r"[-_ ]?".join(parts) + r"(?![a-z0-9])"
    return bool(parts) and re.search(pattern, test.lower()) is not None
