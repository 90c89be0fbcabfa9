"""Files of the project's own tests, where a report does not name them: found by the titles of its tests.

Called by `further_checks`. Some runners report a title and no file, as `node --test` and tape do. A file too many costs
time and accuses no one, since `unwatched` compares with the base commit. It must not know how the tests are run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from phasegate.infra.grading.runner.attribution import paths_of, unnumbered
from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.tree.loading import texts
from phasegate.infra.grading.tree.patterns import is_machinery, is_test_name
from phasegate.infra.workspace import Repository

_NODE = re.compile(r".*\.[cm]?[jt]sx?")
_QUOTED = re.compile(r"(['\"`])((?:\\.|(?!\1)[^\\\n]){1,300})\1")
_DECLARES = {
    ".py": re.compile(r"(?m)^\s*(?:async\s+)?def test|\bTestCase\b"),
    ".go": re.compile(r"(?m)^func Test\w*\("),
    "node": re.compile(r"(?<![\w$])(?:test|it|specify|describe|suite)(?:\.\w+)*\s*\("),
}
"""Finds a test, by language: the end of its files' names, or all that Node runs."""
_MOST = 200
"""Files at most that are taken for want of any title."""


def own_test_files(
    repository: Repository,
    base: str,
    graded: GradedTree,
    cases: Sequence[TestCase],
    named: Collection[str],
    sealed: Collection[str],
) -> frozenset[str]:
    """List the files of the project's own tests: those that the report names, and those of titles without a file.

    Where a title is found in no file, since it is put together while tests run, all test files of the base commit
    count, in languages that have none else.

    Args:
        repository: Holds both commits.
        base: The base commit.
        graded: The graded tree.
        cases: The project's tests, as reported on it.
        named: Files that the report names.
        sealed: Paths of sealed tests, which are not the project's.
    """
    reported_paths = paths_of(cases, repository.files(graded.tree))
    unnamed = [case for case in cases if case.status == "passed" and case.key not in reported_paths]
    if not unnamed:
        return frozenset(named)
    paths = [path for path in repository.files(base) if _language(path) and graded.belongs_to_tests(path)]
    paths = [path for path in paths if path not in sealed and path not in named and not is_machinery(path)]
    sources = texts(repository, base, paths)
    holders, is_missed = _holders(unnamed, sources)
    if is_missed:
        holders |= set(_declaring(sources, {_language(path) for path in (*named, *holders)}))
    return frozenset({*named, *holders})


def _holders(cases: Sequence[TestCase], sources: Mapping[str, str]) -> tuple[set[str], bool]:
    """Files that hold the title of a test, and true if some test's title is in none."""
    node = {path: {title for _, title in _QUOTED.findall(text)} for path, text in sources.items() if _is_node(path)}
    others = {path: set(re.findall(r"\w+", text)) for path, text in sources.items() if not _is_node(path)}
    titles, names = [_titles(case) for case in cases], [_function(case) for case in cases]
    wanted = set[str]().union(*titles)
    files = {path for path, quoted in node.items() if not quoted.isdisjoint(wanted)}
    files |= {path for path, words in others.items() if not words.isdisjoint(names)}
    vocabulary = set[str]().union(*node.values(), *others.values())
    return files, any(
        title.isdisjoint(vocabulary) and name not in vocabulary for title, name in zip(titles, names, strict=True)
    )


def _titles(case: TestCase) -> set[str]:
    """A title with and without its suites' before it; TAP has it in the place of a class, before its assertions."""
    title = unnumbered(case.name)
    return {case.classname, title, *(title[at.end() :] for at in re.finditer(r"\s", title))}


def _function(case: TestCase) -> str:
    """Name of the function that a test is, in Python and Go."""
    return re.split(r"[\[(/ ]", unnumbered(case.name))[0].rpartition("::")[2].rpartition(".")[2]


def _declaring(sources: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Files that declare tests, in languages that are not known yet."""
    paths = [
        path
        for path in sorted(sources)
        if is_test_name(path)
        and (language := _language(path)) not in known
        and _DECLARES[language].search(sources[path])
    ]
    yield from paths[:_MOST]


def _language(path: str) -> str:
    if _is_node(path):
        return "node"
    ending = f".{path.rpartition('.')[2]}"
    return ending if ending in _DECLARES else ""


def _is_node(path: str) -> bool:
    return _NODE.fullmatch(path) is not None
