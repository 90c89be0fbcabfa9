"""Which files of a repository are its tests, their configuration, or what its CI runs.

Called by grading, which replaces them by the base commit's. Names only, so any language; what cannot be told by name
is told by content (`changed_settings`). It must not know what becomes of them.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Collection
from typing import Any

from phasegate.infra.workspace import matches

_TEST_FOLDERS = ("tests", "test", "__tests__", "spec", "specs", "e2e", "testdata", "__snapshots__", "__mocks__")
_TESTS = (
    *(f"**/{name}" for name in _TEST_FOLDERS),
    "**/test_*.py",
    "**/*_test.py",
    "**/conftest.py",
    "**/*_test.go",
    "**/*_test.rb",
    "**/*_spec.rb",
    "**/*_test.exs",
    "**/*_test.dart",
    "**/*.test.*",
    "**/*.spec.*",
    "**/*Test.java",
    "**/*Tests.java",
    "**/*IT.java",
    "**/*Test.kt",
    "**/*Test.php",
    "**/*Tests.cs",
    "**/*Test.cs",
)
_CONFIGURATION = (
    "**/pytest.ini",
    "**/.pytest.ini",
    "**/tox.ini",
    "**/setup.cfg",
    "**/noxfile.py",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/.coveragerc",
    "**/jest.config.*",
    "**/jest.setup.*",
    "**/vitest.config.*",
    "**/vitest.workspace.*",
    "**/vitest.setup.*",
    "**/karma.conf.*",
    "**/playwright.config.*",
    "**/cypress.config.*",
    "**/.mocharc*",
    "**/phpunit.xml*",
    "**/.rspec",
)
_CI = (
    ".github",
    ".gitlab-ci.yml",
    ".gitlab",
    ".circleci",
    ".buildkite",
    ".travis.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "Jenkinsfile",
)
_NODE_SETTINGS = ("scripts", "jest", "mocha", "ava", "vitest", "nyc", "c8")
_SNIFFS = re.compile(
    r"PYTEST_CURRENT_TEST|PYTEST_VERSION|JEST_WORKER_ID|VITEST_WORKER_ID|NODE_TEST_CONTEXT"
    r"|[\"'](?:pytest|_pytest|unittest|nose2?)[\"']\s+in\s+sys\.modules|testing\.Testing\(\)|--junit-?xml"
)


def is_test_file(path: str) -> bool:
    """Whether a path is a test, a test's data, test configuration or CI, by its name."""
    return matches((*_TESTS, *_CONFIGURATION, *_CI), path)


def named_in(command: str, paths: Collection[str]) -> set[str]:
    """The files of a repository that a command names: scripts the tests are run by, and the Makefile behind `make`.

    Args:
        command: Shell text.
        paths: The repository's files.
    """
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # the shell will say what is wrong with it
        words = command.split()
    named = {word.removeprefix("./").rstrip(";") for word in words}
    if "make" in named:
        named |= {"Makefile", "makefile", "GNUmakefile"}
    if "just" in named:
        named |= {"justfile", "Justfile", ".justfile"}
    return named & set(paths)


def changed_settings(path: str, before: bytes | None, after: bytes | None) -> str:
    """What a change did to test settings inside a file that holds other things, too; empty: nothing.

    Args:
        path: Relative to the repository's root.
        before: The file at the base commit, if there.
        after: The file in the change, if there.
    """
    name = path.rpartition("/")[2]
    if name == "pyproject.toml" and _pytest_table(before) != _pytest_table(after):
        return "[tool.pytest] is not what it was"
    if name == "package.json":
        old, new = _object(before), _object(after)
        if changed := [key for key in _NODE_SETTINGS if old.get(key) != new.get(key)]:
            return f"{', '.join(changed)}: not what it was"
    return ""


def looks_for_test_runner(source: bytes | None) -> bool:
    """Whether a source file asks if it is being tested."""
    return bool(source and _SNIFFS.search(source.decode(errors="replace")))


def _pytest_table(content: bytes | None) -> object:
    try:
        tool: Any = tomllib.loads((content or b"").decode()).get("tool", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return content
    return tool.get("pytest") if isinstance(tool, dict) else tool  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - TOML has any shape


def _object(content: bytes | None) -> dict[str, Any]:
    try:
        value: Any = json.loads(content or b"{}")
    except ValueError:
        return {"scripts": content}
    return value if isinstance(value, dict) else {"scripts": content}  # pyright: ignore[reportUnknownVariableType] - as above
