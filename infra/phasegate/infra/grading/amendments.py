"""Amendments: existing tests that an approved PRD makes obsolete, named one by one by the authoring agent.

Sealed with the acceptance tests, applied by `grade`, decided by people at gate `change`. An amended test leaves the
graded tree only when it really fails on the change; its replacement is a sealed test that failed on base.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from phasegate.infra.described import DescribedModel
from phasegate.infra.grading.tree.test_cases import case_problem, split_case
from phasegate.infra.grading.tree.test_sources import TestSource, list_tests
from phasegate.infra.workspace.change_set import AmendmentRequest

AmendmentStatus = Literal["amended", "by-eye", "not-needed", "refused", "struck", "declined"]
_NAMED = 12
"""Number of a file's tests that a refusal lists."""
_BUILD_LIST = re.compile(r"(?:.*/)?(?:CMakeLists\.txt|meson\.build|BUILD(?:\.bazel)?)")
_SNAPSHOTS = re.compile(
    r"(?:.*/)?(?:__snapshots__|snapshots?|golden|approved|testdata)/.*|.*\.(?:snap|ambr|golden|approved\.\w+)"
)


class _Part(DescribedModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Amendment(AmendmentRequest):
    """An existing test that the PRD makes obsolete."""

    replacement: str = Field(default="", max_length=500)
    """`path::name` of the sealed test that takes its place; empty: the behaviour is gone, and so is the test."""
    added_after_change: bool = False
    """Set where an implementer asked for it, after the first sealing."""


class AmendedTest(_Part):
    """An amendment as it was graded; part of the evidence."""

    test: str
    criterion: str
    replacement: str = ""
    status: AmendmentStatus
    """`amended`: left out and, if replaced, replaced; `by-eye`: a snapshot that a person compares; `not-needed`: the
    test still passes, so it counts as ever; `refused`: its replacement proves nothing, so it counts as ever;
    `struck`: by a person, so it counts as ever; `declined`: the implementer asked for it, the authoring agent did not
    amend it, so it counts as ever."""
    why: str = ""
    """Reason of a status that leaves the test counting."""
    before: str = ""
    """Source of the old test, or the old snapshot."""
    after: str = ""
    """Source of its replacement, or the new snapshot; empty: none."""
    tests: tuple[str, ...] = ()
    """Ids of the tests that it is about."""
    added_after_change: bool = False


def is_snapshot(path: str) -> bool:
    """True for a path that holds recorded output to compare with, by its name."""
    return _SNAPSHOTS.fullmatch(path) is not None


def find_test(path: str, name: str, text: str) -> TestSource | None:
    """The test of this name in a file.

    Args:
        path: The file's.
        name: As after `path::`; a method may be named without its class where that is plain.
        text: The file's content.
    """
    tests = list_tests(path, text)
    exact = [test for test in tests if test.name == name]
    loose = [test for test in tests if test.name.rpartition("::")[2] == name.rpartition("::")[2]]
    candidates = exact or (loose if "::" not in name or path.rpartition(".")[2] != "py" else [])
    return candidates[0] if len(candidates) == 1 else None


def amendment_problems(
    amends: Sequence[Amendment],
    criteria: Iterable[str],
    sealed: Iterable[tuple[str, str]],
    read_base: Callable[[str], bytes | None],
) -> list[str]:
    """Reasons to send amendments back to the authoring agent, a sentence each.

    Args:
        amends: What it named.
        criteria: Ids of the PRD's criteria.
        sealed: Path and content of each sealed file.
        read_base: A file of the base commit by its path; `None` where there is none.
    """
    known, contents = set(criteria), dict(sealed)
    problems: list[str] = []
    seen: set[str] = set()
    named = {amendment.test for amendment in amends}
    for amendment in amends:
        if amendment.criterion not in known:
            problems.append(f"amends: {amendment.test} cites {amendment.criterion}, which the PRD does not have.")
        whole = f"{amendment.path}::{split_case(amendment.path, amendment.name)[0]}"
        if amendment.test in seen or (whole != amendment.test and whole in named):
            problems.append(f"amends: {amendment.test} is named twice.")
        seen.add(amendment.test)
        problems += _test_problems(amendment, read_base)
        if amendment.replacement:
            path, _, name = amendment.replacement.partition("::")
            if path not in contents or find_test(path, name, contents[path]) is None:
                problems.append(
                    f"amends: the replacement {amendment.replacement} is no test of the files handed in; "
                    "name it as path::name, or leave it empty where the behaviour is gone."
                )
    amended = {(amendment.path, amendment.name) for amendment in amends}
    for path, content in contents.items():
        if (there := read_base(path)) is None:
            continue
        text = there.decode(errors="replace")
        if _BUILD_LIST.fullmatch(path) and _keeps_lines(text, content):
            continue  # C and C++ run the tests that such a file names
        own = list_tests(path, text)
        left = [test.name for test in own if (path, test.name) not in amended]
        if left or not own:
            what = f": it holds {_listed(left)}" if left else ""
            problems.append(
                f"{path} exists already{what}. Use a name that does not exist, or amend each of its tests by name."
            )
    return problems


def request_problems(
    requests: Sequence[AmendmentRequest], criteria: Iterable[str], read_base: Callable[[str], bytes | None]
) -> list[str]:
    """Reasons to send an implementer's requests back, a sentence each.

    A request reaches the authoring agent, so each id must be one that exists already: it can carry no other words.

    Args:
        requests: What the implementer asks for.
        criteria: Ids of the PRD's criteria.
        read_base: As for `amendment_problems`.
    """
    known = set(criteria)
    problems: list[str] = []
    for request in requests:
        if request.criterion not in known:
            listed = ", ".join(sorted(known))
            problems.append(f"asks_to_amend: the PRD has no criterion {request.criterion}; it has {listed}.")
        if reasons := _test_problems(request, read_base, field="asks_to_amend"):
            problems += reasons
        elif request.name:
            text = (read_base(request.path) or b"").decode(errors="replace")
            name, _ = split_case(request.path, request.name)
            test = find_test(request.path, name, text)
            if test is not None and test.name != name:
                problems.append(f"asks_to_amend: name {request.path}::{name} as {request.path}::{test.name}.")
    return problems


def added_problems(
    added: Sequence[Amendment],
    asked: Iterable[AmendmentRequest],
    sealed: Sequence[Amendment],
    criteria: Iterable[str],
    files: Iterable[tuple[str, str]],
    read_base: Callable[[str], bytes | None],
) -> list[str]:
    """Reasons to send amendments back that are made after a change asked for them, a sentence each.

    Args:
        added: What the authoring agent names.
        asked: The requests it was shown.
        sealed: Amendments that are sealed already.
        criteria: Ids of the PRD's criteria.
        files: Path and content of each sealed file.
        read_base: As for `amendment_problems`.
    """
    tests = {request.test for request in asked}
    unasked = [
        f"amends: nobody asked for {amendment.test}; only what was asked for may be added now."
        for amendment in added
        if amendment.test not in tests
    ]
    return [*unasked, *amendment_problems((*sealed, *added), criteria, files, read_base)]


def _test_problems(
    amendment: AmendmentRequest, read_base: Callable[[str], bytes | None], field: str = "amends"
) -> list[str]:
    content = read_base(amendment.path) if amendment.path == posixpath.normpath(amendment.path) else None
    if content is None:
        return [f"{field}: there is no file {amendment.path} on the base commit."]
    if not amendment.name:
        if is_snapshot(amendment.path):
            return []
        return [f"{field}: {amendment.test} names a whole file; name each of its tests as path::name."]
    text = content.decode(errors="replace")
    name, case = split_case(amendment.path, amendment.name)
    source = find_test(amendment.path, name, text)
    if source is not None and case and (why := case_problem(text, source.name, case)):
        return [f"{field}: {amendment.test} cannot be amended by itself: {why}."]
    if source is None:
        names = [test.name for test in list_tests(amendment.path, text)]
        single = " Single cases can be amended in Python files alone." if _names_case(amendment, names) else ""
        return [f"{field}: {amendment.path} has no single test {amendment.name}; it has {_listed(names)}.{single}"]
    return []


def _keeps_lines(before: str, after: str) -> bool:
    """Tell if a text holds all lines of another one, in their order."""
    lines = iter(after.splitlines())
    return all(line in lines for line in before.splitlines())


def _names_case(amendment: AmendmentRequest, names: Collection[str]) -> bool:
    return any(amendment.name.startswith((f"{name}[", f"{name}(")) for name in names)


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none that can be found by reading it") + more
