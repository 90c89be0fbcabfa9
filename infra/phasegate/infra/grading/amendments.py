"""Amendments: existing tests that an approved PRD makes obsolete, named one by one by the authoring agent.

Sealed with the acceptance tests, applied by `grade`, decided by people at gate `change`. An amended test leaves the
graded tree only when it really fails on the change; its replacement is a sealed test that failed on base.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phasegate.infra.grading.junit import TestCase
from phasegate.infra.grading.tree.test_sources import TestSource, list_tests

AmendmentStatus = Literal["amended", "by-eye", "not-needed", "refused", "struck"]
_NAMED = 12
"""Number of a file's tests that a refusal lists."""
_SNAPSHOTS = re.compile(
    r"(?:.*/)?(?:__snapshots__|snapshots?|golden|approved|testdata)/.*|.*\.(?:snap|ambr|golden|approved\.\w+)"
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AmendmentRequest(_Part):
    """An existing test and the criterion that makes it obsolete: ids alone, no prose."""

    test: str = Field(min_length=1, max_length=500)
    """`path::name` of one existing test, a class between them as in `path::Class::name`; or a snapshot file's path."""
    criterion: str = Field(min_length=1, max_length=40)
    """Id of the acceptance criterion that says so."""


class Amendment(AmendmentRequest):
    """One existing test that the PRD makes obsolete."""

    replacement: str = Field(default="", max_length=500)
    """`path::name` of the sealed test that takes its place; empty: the behaviour is gone, and so is the test."""
    added_after_change: bool = False
    """Set where an implementer asked for it, after the first sealing."""

    @property
    def path(self) -> str:
        """File that holds the test."""
        return self.test.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's name in its file; empty for a snapshot file."""
        return self.test.partition("::")[2]


class AmendedTest(_Part):
    """An amendment as it was graded; part of the evidence."""

    test: str
    criterion: str
    replacement: str = ""
    status: AmendmentStatus
    """`amended`: left out and, if replaced, replaced; `by-eye`: a snapshot that a person compares; `not-needed`: the
    test still passes, so it counts as ever; `refused`: its replacement proves nothing, so it counts as ever;
    `struck`: by a person, so it counts as ever."""
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
    found = list_tests(path, text)
    exact = [test for test in found if test.name == name]
    loose = [test for test in found if test.name.rpartition("::")[2] == name.rpartition("::")[2]]
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
    for amendment in amends:
        if amendment.criterion not in known:
            problems.append(f"amends: {amendment.test} cites {amendment.criterion}, which the PRD does not have.")
        if amendment.test in seen:
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
    for path in contents:
        if (there := read_base(path)) is None:
            continue
        own = list_tests(path, there.decode(errors="replace"))
        left = [test.name for test in own if (path, test.name) not in amended]
        if left or not own:
            what = f": it holds {_listed(left)}" if left else ""
            problems.append(
                f"{path} exists already{what}. Use a name that does not exist, or amend each of its tests by name."
            )
    return problems


def _test_problems(amendment: Amendment, read_base: Callable[[str], bytes | None]) -> list[str]:
    content = read_base(amendment.path)
    if content is None:
        return [f"amends: there is no file {amendment.path} on the base commit."]
    if not amendment.name:
        if is_snapshot(amendment.path):
            return []
        return [f"amends: {amendment.test} names a whole file; name each of its tests as path::name."]
    text = content.decode(errors="replace")
    if find_test(amendment.path, amendment.name, text) is None:
        names = [test.name for test in list_tests(amendment.path, text)]
        return [f"amends: {amendment.path} has no single test {amendment.name}; it has {_listed(names)}."]
    return []


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none that can be found by reading it") + more


def cases_of(path: str, name: str, cases: Iterable[TestCase], paths: Iterable[str]) -> list[TestCase]:
    """The outcomes of one test named as `path::name`, parametrised ones all together.

    Args:
        path: The file.
        name: Its name in the file.
        cases: A report's.
        paths: All test files that the report may be about; a case that another one holds is left alone.
    """
    cases = tuple(cases)
    *classes, last = name.split("::")
    others = [other for other in paths if other != path]
    # a workspace's runner names files from its own folder
    ends = {file for case in cases if (file := case.file) and path.endswith(f"/{file}")}
    own = {path} | {end for end in ends if not any(f"/{other}".endswith(f"/{end}") for other in others)}
    return [
        case
        for case in cases
        if _is_named(case, last, path)
        and all(part in re.split(r"[.:$ ]+", case.id) for part in classes)
        and (
            case.file in own
            or _is_in(case, path)
            or (case.file is None and not any(_is_in(case, other) for other in others))
        )
    ]


def _is_named(case: TestCase, name: str, path: str) -> bool:
    if re.fullmatch(r".*\.[cm]?[jt]sx?", path):
        # tap names the file, then the titles of all tests that an assertion stands in
        titles = f" {case.classname.removeprefix(path)} " if case.classname.startswith(f"{path} ") else ""
        of_assertion = case.classname == name or f" {name} " in titles
        return of_assertion or case.name == name or case.name.endswith((f" {name}", f"> {name}", f"› {name}"))
    return re.split(r"[\[(/]", case.name)[0].rpartition("::")[2].rpartition(".")[2] == name


def _is_in(case: TestCase, path: str) -> bool:
    if case.file is not None:
        return case.file == path
    stem = path.rpartition("/")[2].partition(".")[0]
    dotted = f"{path.rpartition('/')[0]}/{stem}".lstrip("/").replace("/", ".")
    name = case.classname
    if name == path or f".{name}.".find(f".{dotted}.") >= 0:
        return True
    is_jvm = path.endswith((".java", ".kt"))
    return is_jvm and (f".{dotted}".endswith(f".{name}") or f".{dotted}".endswith(f".{name.partition('$')[0]}"))
