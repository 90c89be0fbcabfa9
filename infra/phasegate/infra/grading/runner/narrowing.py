"""Test files that a run can do without, where only some tests of it count.

Called before runs that are asked about sealed and planted tests alone. A file is left out only if the report on base
names tests of it and nothing that stays names the file. It must not know what such a run is for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import PurePosixPath

from phasegate.infra.grading.runner.isolation import isolates_files
from phasegate.infra.grading.runner.reach import contents, reaching
from phasegate.infra.grading.tree.loading import Targets
from phasegate.infra.grading.tree.patterns import TEST_CODE, is_machinery, is_test_name
from phasegate.infra.workspace import Repository


def unneeded_tests(
    repository: Repository,
    commit: str,
    collected: Collection[str],
    wanted: Mapping[str, str],
    command: str,
    content: Mapping[str, str] | None = None,
) -> frozenset[str]:
    """Files of a commit that can be removed without a trace in the tests that count.

    Args:
        repository: Holds the commit.
        commit: What is tested.
        collected: Files that tests on base are reported from.
        wanted: Content of the test files that count, by their path.
        command: The test command.
        content: Text of each file of the commit, where it was read already.

    Returns:
        Paths, or none if too much would have to be read to tell.
    """
    files = repository.files(commit)
    folders = {_folder(path) for path in wanted}
    candidates = {
        path
        for path in files
        if path in collected
        and path not in wanted
        and is_test_name(path)
        and not is_machinery(path)
        # tests of one Go package are compiled together
        and not (path.endswith(".go") and _folder(path) in folders)
    }
    if not candidates:
        return frozenset()
    if content is None and (content := contents(repository, commit)) is None:
        return frozenset()
    targets = Targets.of(candidates)
    waiting = [*wanted.items(), *((path, text) for path, text in content.items() if path not in candidates)]
    waiting.append(("", command))
    while waiting:
        loader, text = waiting.pop()
        named = {load.path for load in targets.loaded_by(loader, text)}
        named |= {path for path in candidates if PurePosixPath(path).name in text}
        waiting += [(path, content.get(path, "")) for path in named & candidates]
        candidates -= named
    return frozenset(candidates)


def undisturbed_tests(
    repository: Repository,
    commit: str,
    collected: Collection[str],
    own: Collection[str],
    sealed: Mapping[str, str],
    command: str,
) -> frozenset[str]:
    """Files of tests that a change's own tests cannot disturb, since the runner keeps files apart.

    Args:
        repository: Holds the commit.
        commit: The change with its own tests.
        collected: Files that tests without those are reported from.
        own: The own tests, with what they need.
        sealed: Content of the sealed files, by path.
        command: The test command.

    Returns:
        Paths, or none if a runner shares anything between files, or where own files are more than tests.
    """
    if not all(path.endswith(TEST_CODE) and "__mocks__" not in path for path in own):
        return frozenset()
    files = {path: partial(repository.read_file, commit, path) for path in repository.files(commit)}
    if not isolates_files(command, files) or (content := contents(repository, commit)) is None:
        return frozenset()
    leading = reaching(content, own)
    if any(is_machinery(path) or PurePosixPath(path).name == "package.json" for path in leading):
        return frozenset()
    wanted = {path: content.get(path, "") for path in leading} | dict(sealed)
    return unneeded_tests(repository, commit, collected, wanted, command, content)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
