from __future__ import annotations

import pytest

from phasegate.infra.grading.tree.patterns import is_test_file, named_in, steers_tests


@pytest.mark.parametrize(
    "path",
    [
        "tests/a/b.json",
        "pkg/tests/helper.py",
        "test_app.py",
        "src/app_test.py",
        "conftest.py",
        "pkg/conftest.py",
        "pytest.ini",
        "tox.ini",
        "calc/calc_test.go",
        "src/a.test.ts",
        "src/a.spec.jsx",
        "test.js",
        "lib/test-parse.mjs",
        "lib/parse-test.ts",
        "lib/parse_test.cjs",
        "src/__tests__/a.js",
        "src/test/java/AppTest.java",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "jest.config.js",
        "jest.unit.config.ts",
        "ava.config.js",
        ".taprc",
        "sitecustomize.py",
    ],
)
def test_tests_configuration_and_ci(path: str) -> None:
    assert is_test_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "app.py",
        "src/contest.py",
        "latest/app.py",
        "pyproject.toml",
        "setup.cfg",
        "package.json",
        "app/json.py",
        "attest.go",
        "src/contest.js",
        "src/latest.ts",
        "testing.js",
        "docs/testing.md",
    ],
)
def test_product_code(path: str) -> None:
    assert not is_test_file(path)


def test_scripts_that_the_command_names_belong_to_the_tests() -> None:
    files = {"run.sh", "scripts/check", "Makefile", "app.py", "justfile"}
    assert named_in("./run.sh --junit {junit}", files) == {"run.sh"}
    assert named_in("make check; scripts/check", files) == {"Makefile", "scripts/check"}
    assert named_in("sh -c 'unbalanced", files) == set()


def test_what_steers_tests_by_being_there() -> None:
    assert all(map(steers_tests, ("conftest.py", "a/conftest.py", "pytest.ini", "x/y.pth", "sitecustomize.py")))
    assert not any(map(steers_tests, ("tests/data.json", "tests/test_a.py", "app.py")))
