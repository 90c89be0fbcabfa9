"""Patterns of a repository's files that are its tests, their configuration, or what its CI runs.

Called by grading, which replaces them by the base commit's. Names only, so any language; settings among other things
are told by content (`settings`). It must not know what becomes of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from functools import lru_cache

from phasegate.infra.workspace import matches

_NODE_FILES = ("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx")
TEST_FOLDERS = ("tests", "test", "__tests__", "spec", "specs", "e2e", "testdata", "__snapshots__", "__mocks__")
TEST_CODE = (".py", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".go", ".java", ".kt", ".rb", ".php", ".rs", ".cs")
"""Endings of files that tests are written in."""
_TESTS = (
    *(f"**/{name}" for name in TEST_FOLDERS),
    "**/tests.py",
    "**/tests_*.py",
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
    *(f"**/{name}.{ending}" for name in ("test", "tests", "test-*", "*-test", "*_test") for ending in _NODE_FILES),
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
    "**/pytest.toml",
    "**/.pytest.toml",
    "**/*.pth",
    "pytest.py",
    "pytest",
    "_pytest",
    "pluggy",
    "pluggy.py",
    "unittest",
    "unittest.py",
    "**/tox.ini",
    "**/noxfile.py",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/.coveragerc",
    "**/jest*.config.*",
    "**/jest.setup.*",
    "**/vitest*.config.*",
    "**/vitest.workspace.*",
    "**/vitest.setup.*",
    "**/karma.conf.*",
    "**/playwright.config.*",
    "**/cypress.config.*",
    "**/.mocharc*",
    "**/ava.config.*",
    "**/.taprc",
    "**/.labrc.js",
    "**/web-test-runner.config.*",
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
_HOOKS = re.compile(r"def pytest_|hookimpl|pytest_plugins|\b_pytest\b|sys\.modules|os\._exit")
_STEERING = tuple(
    pattern for pattern in (*_CONFIGURATION, "**/conftest.py") if pattern.startswith("**/") or pattern.endswith(".py")
)

_NAMES_KNOWN = 65_536
"""Paths whose kind is remembered: a grade asks dozens of times about each file of a change."""


@lru_cache(maxsize=_NAMES_KNOWN)
def is_test_file(path: str) -> bool:
    """True if a path is a test, a test's data, test configuration or CI, by its name."""
    return matches((*_TESTS, *_CONFIGURATION, *_CI), path)


@lru_cache(maxsize=_NAMES_KNOWN)
def is_test_name(path: str) -> bool:
    """True if a path is a test's or lies in a folder of tests, by its name."""
    return matches(_TESTS, path)


def is_machinery(path: str) -> bool:
    """True if a path configures the tests' runner, hides it or is CI's, whatever the product does with it."""
    return matches((*_CONFIGURATION, *_CI, "**/conftest.py"), path)


def may_enter(path: str, content: bytes) -> bool:
    """True if a test file as a change has it may be released, if the whole suite passes with it.

    CI's files may, since no run of the tests reads them. Configuration may not, nor a `conftest.py` that reaches into
    the runner: these decide what passes.
    """
    if path.rpartition("/")[2] == "conftest.py":
        return not reaches_into_runner(content.decode(errors="replace"))
    return not matches(_CONFIGURATION, path) and not path.endswith(".gitattributes")


def reaches_into_runner(text: str) -> bool:
    """True if a test file's text has hooks into the test runner."""
    return _HOOKS.search(text) is not None


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


def steers_tests(path: str) -> bool:
    """True if a file by its mere presence decides how tests are run."""
    return matches(_STEERING, path)
