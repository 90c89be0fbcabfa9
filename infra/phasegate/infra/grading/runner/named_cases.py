"""Cases of a report that belong to a test with a given path and name.

Called where amended tests are judged. It must not know why a test was amended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from phasegate.infra.grading.runner.junit import TestCase
from phasegate.infra.grading.tree.test_cases import split_case


def cases_of(path: str, name: str, cases: Iterable[TestCase], paths: Iterable[str]) -> list[TestCase]:
    """List the outcomes of one test named as `path::name`, parametrised ones all together unless the name holds a case.

    Args:
        path: The file.
        name: Its name in the file.
        cases: A report's.
        paths: All test files that the report may be about; a case that another one holds is left alone.
    """
    cases = tuple(cases)
    test, single = split_case(path, name)
    *classes, last = test.split("::")
    others = [other for other in paths if other != path]
    # a workspace's runner names files from its own folder
    ends = {file for case in cases if (file := case.file) and path.endswith(f"/{file}")}
    own = {path} | {end for end in ends if not any(f"/{other}".endswith(f"/{end}") for other in others)}
    return [
        case
        for case in cases
        if _is_named(case, last, path)
        and (not single or case.name.endswith(f"{last}[{single}]"))
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
    if path.endswith(".py") and stem in (parts := name.split(".")):
        # unittest's discovery may start in the folder of the tests
        return f".{dotted}".endswith(f".{'.'.join(parts[: parts.index(stem) + 1])}")
    is_jvm = path.endswith((".java", ".kt"))
    return is_jvm and (f".{dotted}".endswith(f".{name}") or f".{dotted}".endswith(f".{name.partition('$')[0]}"))
