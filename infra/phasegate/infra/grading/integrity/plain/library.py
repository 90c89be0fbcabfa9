"""Watch over the standard library and the test runners: functions that somebody replaced.

Runs inside the sandbox, in the process that loads the change. A snapshot is taken before any of its code is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

WATCHED = [
    "builtins",
    "json",
    "json.decoder",
    "json.encoder",
    "os",
    "posixpath",
    "io",
    "pathlib",
    "re",
    "time",
    "datetime",
    "random",
    "math",
    "subprocess",
    "collections",
    "functools",
    "itertools",
    "operator",
    "copy",
    "hashlib",
    "hmac",
    "secrets",
    "uuid",
    "decimal",
    "fractions",
    "string",
    "textwrap",
    "csv",
    "types",
    "inspect",
    "ast",
    "importlib",
    "importlib.util",
    "pickle",
    "struct",
    "base64",
    "zlib",
    "gzip",
    "shutil",
    "tempfile",
    "glob",
    "socket",
    "http.client",
    "urllib.request",
    "threading",
    "contextlib",
    "enum",
    "dataclasses",
    "typing",
    "statistics",
    "difflib",
    "codecs",
    "locale",
    "sqlite3",
    "configparser",
    "unittest",
    "unittest.case",
    "unittest.mock",
    "unittest.result",
    "unittest.runner",
    "unittest.suite",
    "unittest.loader",
    "pytest",
    "_pytest.python_api",
    "_pytest.raises",
    "_pytest.assertion.util",
    "_pytest.assertion.rewrite",
    "_pytest.runner",
    "_pytest.outcomes",
    "_pytest.reports",
    "_pytest.python",
    "pluggy",
]
_OF_CLASSES = ("__eq__", "__ne__", "__contains__", "__call__", "__enter__", "__exit__", "__init__", "__new__")
_CHECKS = 1000
"""Calls of one test that are checked, since some make very many."""
_CHANGES_HONESTLY = {("sys", "modules"), ("builtins", "_"), ("threading", "_shutdown")}


class Library:
    """Functions and methods of watched modules, as they were before the change was loaded."""

    def __init__(self) -> None:
        """Import what is watched, where it is installed, and remember it."""
        for name in WATCHED:
            try:
                __import__(name)
            except ImportError:
                continue
        self._modules = [(name, sys.modules[name]) for name in WATCHED if name in sys.modules]
        self._known = dict(self._attributes())
        self.replaced: dict[str, str] = {}

    def check(self) -> None:
        """Note what is no longer what it was, each name once."""
        for name, module in self._modules:
            for key, value in list(vars(module).items()):
                self._compare((name, key), value)
                if isinstance(value, type) and value.__module__ == name:
                    for inner, member in list(vars(value).items()):
                        self._compare((name, key, inner), member)

    def _compare(self, place: tuple[str, ...], value: Any) -> None:
        before = self._known.get(place)
        if before is not None and value is not before and place[:2] not in _CHANGES_HONESTLY:
            self.replaced.setdefault(".".join(place), _origin(value))

    def _attributes(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, module in self._modules:
            for key, value in list(vars(module).items()):
                if callable(value):
                    yield (name, key), value
                if isinstance(value, type) and value.__module__ == name:
                    for inner, member in list(vars(value).items()):
                        if inner in _OF_CLASSES or (not inner.startswith("__") and _is_code(member)):
                            yield (name, key, inner), member


class Returns:
    """Checks the library each time a call out of a test's own code comes back."""

    def __init__(self, library: Library, files: set[str]) -> None:
        """Watch calls that come back to code of these files."""
        self._library, self._files, self._left = library, files, _CHECKS

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        """Take an event, as `sys.setprofile` sends it."""
        back = frame.f_back
        if event != "return" or back is None or back.f_code.co_filename not in self._files:
            return
        if frame.f_code.co_filename not in self._files and self._left:
            self._left -= 1
            self._library.check()


def _is_code(member: Any) -> bool:
    return callable(member) or isinstance(member, (property, classmethod, staticmethod))


def _origin(value: Any) -> str:
    """File that a replacement was written in, or its module; empty where it does not say."""
    pending: list[Any] = [value]
    for _ in range(5):
        known = pending[-1]
        code = getattr(known, "__code__", None)
        if code is not None:
            return str(code.co_filename)
        inner = getattr(known, "func", None) or getattr(known, "__func__", None) or getattr(known, "fget", None)
        if inner is None:
            break
        pending.append(inner)
    return str(getattr(value, "__module__", "") or getattr(type(value), "__module__", ""))
