from __future__ import annotations

import pytest

from phasegate.infra.grading.test_files import changed_settings, is_test_file, looks_for_test_runner, named_in


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
        "setup.cfg",
        "calc/calc_test.go",
        "src/a.test.ts",
        "src/a.spec.jsx",
        "src/__tests__/a.js",
        "src/test/java/AppTest.java",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "jest.config.js",
        "sitecustomize.py",
    ],
)
def test_tests_configuration_and_ci(path: str) -> None:
    assert is_test_file(path)


@pytest.mark.parametrize(
    "path",
    ["app.py", "src/contest.py", "latest/app.py", "pyproject.toml", "package.json", "attest.go", "docs/testing.md"],
)
def test_product_code(path: str) -> None:
    assert not is_test_file(path)


def test_scripts_that_the_command_names_belong_to_the_tests() -> None:
    files = {"run.sh", "scripts/check", "Makefile", "app.py", "justfile"}
    assert named_in("./run.sh --junit {junit}", files) == {"run.sh"}
    assert named_in("make check; scripts/check", files) == {"Makefile", "scripts/check"}
    assert named_in("sh -c 'unbalanced", files) == set()


def test_settings_inside_other_files() -> None:
    old = b'[project]\nname = "x"\n[tool.pytest.ini_options]\naddopts = "-q"\n'
    assert changed_settings("pyproject.toml", old, old.replace(b'"x"', b'"y"')) == ""
    assert "[tool.pytest]" in changed_settings("pyproject.toml", old, old.replace(b"-q", b"-k nothing"))
    assert "[tool.pytest]" in changed_settings("sub/pyproject.toml", None, old)
    assert "[tool.pytest]" in changed_settings("pyproject.toml", old, b"not toml [")
    assert changed_settings("pyproject.toml", None, b"[tool.ruff]\n") == ""
    package = b'{"name": "x", "scripts": {"test": "node --test"}}'
    assert changed_settings("package.json", package, package.replace(b'"x"', b'"y"')) == ""
    assert "scripts" in changed_settings("package.json", package, package.replace(b"node --test", b"true"))
    assert "scripts" in changed_settings("package.json", package, b"[]")


def test_code_that_asks_whether_it_is_tested() -> None:
    assert looks_for_test_runner(b'if "pytest" in sys.modules: return 1')
    assert looks_for_test_runner(b"os.environ.get('PYTEST_CURRENT_TEST')")
    assert not looks_for_test_runner(b"import pytest")
    assert not looks_for_test_runner(None)
