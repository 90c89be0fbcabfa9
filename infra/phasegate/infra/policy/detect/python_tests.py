"""Options with which pytest finds and loads a Python project's tests. Called by `python`.

It knows unittest's and Django's own runners as far as pytest can stand in for them. It reads files and runs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from phasegate.infra.policy.detect.automation import Automation, ini
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_HOLDS_TESTS = re.compile(r"^\s*(?:async\s+)?def test[_A-Z0-9]|^class\s+\w+\(.*TestCase\s*\)", re.MULTILINE)
_BY_DEFAULT = re.compile(r"test_.*\.py|.*_test\.py")
_UNITTEST = r"\bunittest\b|\b(?:django|manage\.py|django-admin)\s+test\b|\bruntests?\.py\b"
_NAMES_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']?\s*\]?\s*[,=]\s*["']([\w.]+)["']""")
_RUNNERS = ("runtests.py", "run_tests.py", "tests/runtests.py", "tests/run_tests.py", "test/runtests.py")
_NO_SETTINGS = (
    "{} is a test runner of its own, which pytest cannot stand in for. Write a command under [project]: "
    'test = "…", which writes a JUnit XML report to {{junit}}.'
)


@dataclass(frozen=True)
class TestOptions:
    """Findings about the tests.

    Attributes:
        arguments: Of pytest, with a space before each.
        plugins: Packages that pytest needs for them.
        notes: What a person should look at.
        own_runner: True if pytest cannot run these tests.
    """

    __test__ = False  # pytest would take it for a test

    arguments: str = ""
    plugins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    own_runner: bool = False


def find_test_options(tree: SourceTree, automation: Automation) -> TestOptions:
    """Read how the project's tests are named, and which settings of Django they need."""
    settings = pytest_settings(tree)
    chosen = automation.pytest_arguments(tree)
    arguments = f" {chosen}" if chosen else ""
    plugins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    module = _django_settings(tree, automation)
    has_settings = "DJANGO_SETTINGS_MODULE" in settings or "--ds" in f"{settings.get('addopts', '')}{chosen}"
    if has_settings:
        plugins = ("pytest-django",)
    elif module:
        arguments += f" --ds={module}"
        plugins = ("pytest-django",)
        notes = (f"Django's tests run by pytest-django with {module}: the tests need it.",)
    elif runner := _own_runner(tree, settings):
        return TestOptions(notes=(_NO_SETTINGS.format(runner),), own_runner=True)
    if "python_files" not in settings and (names := _names(tree, automation, django=bool(module))):
        arguments += f" -o 'python_files={names}'"
    return TestOptions(arguments, plugins, notes)


def pytest_settings(tree: SourceTree) -> dict[str, Any]:
    """Return the settings of pytest, from the file that it would take them from."""
    for name, section in (("pytest.ini", "pytest"), (".pytest.ini", "pytest")):
        if (config := ini(tree, name)).has_section(section):
            return dict(config.items(section)) | _upper(tree.text(name))
    manifest = tree.toml("pyproject.toml")
    own = table(manifest, "tool", "pytest")
    if options := own.get("ini_options") or own:
        return table({"": options}, "")
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if (config := ini(tree, name)).has_section(section):
            return dict(config.items(section)) | _upper(tree.text(name))
    return {}


def _upper(text: str) -> dict[str, str]:
    """Keys in capitals, which the parser of such files spells small."""
    return {match[1]: match[2] for match in re.finditer(r"(?m)^([A-Z][A-Z_]+)\s*=\s*(\S+)", text)}


def _django_settings(tree: SourceTree, automation: Automation) -> str:
    """Return the settings module that Django's own runner is given, or an empty string if there is none."""
    if match := automation.runs(r"--settings[= ]([\w.]+)"):
        return match[1]
    if (module := dict(automation.variables).get("DJANGO_SETTINGS_MODULE")) and re.fullmatch(r"[\w.]+", module):
        return module
    places = ("manage.py", *_RUNNERS, "conftest.py", "tests/conftest.py")
    return next((match[1] for name in places if (match := _NAMES_SETTINGS.search(tree.text(name)))), "")


def _own_runner(tree: SourceTree, settings: dict[str, Any]) -> str:
    runner = next((name for name in _RUNNERS if name in tree), "")
    stands_in = bool(settings) or "conftest.py" in tree or "tests/conftest.py" in tree or "manage.py" in tree
    if (
        not runner
        or stands_in
        or re.search(r"\bpytest\b|unittest\.(?:main|defaultTestLoader|TestLoader)", tree.text(runner))
    ):
        return ""
    return runner


def _names(tree: SourceTree, automation: Automation, *, django: bool) -> str:
    """Return patterns for test files that pytest would pass over, or an empty string if it would not."""
    holding = [
        path
        for path in sorted(tree.files)
        if path.suffix == ".py" and re.search(r"tests?", path.stem) and _HOLDS_TESTS.search(tree.text(path))
    ]
    others = [path.name for path in holding if not _BY_DEFAULT.fullmatch(path.name)]
    others = [name for name in others if re.fullmatch(r"test.*\.py|.*tests?\.py", name)]
    if not (others or django) or (len(others) < len(holding) and not django and not automation.runs(_UNITTEST)):
        return ""  # pytest finds tests by its own rules, and may be meant to pass the others over
    patterns = ["test*.py", *([] if django else ["*_test.py"])]
    patterns += [pattern for pattern in ("*tests.py", "*test.py") if any(_matches(name, pattern) for name in others)]
    return " ".join(patterns)


def _matches(name: str, pattern: str) -> bool:
    return not name.startswith("test") and name.endswith(pattern.lstrip("*"))
