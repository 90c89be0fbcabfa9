"""Watch over the standard library and the test runners: functions that somebody replaced.

Runs inside the sandbox, in the process that loads the change. A snapshot is taken before any of its code is loaded.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

WATCHED = """
builtins json json.decoder json.encoder os posixpath io pathlib re time datetime random math subprocess collections
functools itertools operator copy hashlib hmac secrets uuid decimal fractions string textwrap csv types inspect ast
importlib importlib.util pickle struct base64 zlib gzip shutil tempfile glob socket http.client urllib.request threading
contextlib enum dataclasses typing statistics difflib codecs locale sqlite3 configparser
unittest unittest.case unittest.mock unittest.result unittest.runner unittest.suite unittest.loader
pytest _pytest.python_api _pytest.raises _pytest.assertion.util _pytest.assertion.rewrite _pytest.runner
_pytest.outcomes _pytest.reports _pytest.python pluggy
"""
_OFTEN = ("builtins", "json", "os", "posixpath", "io", "pathlib", "re", "unittest.case", "pytest", "_pytest.python_api")
"""Modules that are looked at after each call of a test."""
_OF_CLASSES = ("__eq__", "__ne__", "__contains__", "__call__", "__enter__", "__exit__", "__init__", "__new__")
_CHECKS = 50
"""Calls of one test that are checked, since some make very many."""
_CHANGES_HONESTLY = ("builtins._", "threading._shutdown")


class Library:
    """Functions and methods of watched modules, as they were before the change was loaded."""

    def __init__(self) -> None:
        """Import what is watched, where it is installed, and remember it."""
        self._all: list[Entry] = []
        self._often: list[Entry] = []
        for name in WATCHED.split():
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            entries = list(_entries(name, module))
            self._all += entries
            self._often += entries if name in _OFTEN else []
        self.replaced: dict[str, str] = {}

    def check(self, *, often: bool = False, by_test: bool = False) -> None:
        """Note what is no longer what it was, each name once.

        Args:
            often: True to look at the few modules only that are looked at after each call.
            by_test: True after a test that patches for itself, and may leave something behind.
        """
        for entry in self._often if often else self._all:
            value = entry.space.get(entry.key, entry.value)
            if value is not entry.value and by_test:
                entry.value = value
            elif value is not entry.value and entry.dotted not in self.replaced:
                self.replaced[entry.dotted] = _origin(value)


class Entry:
    """A function of the library, and where it stands."""

    def __init__(self, dotted: str, space: Mapping[str, Any], key: str, value: Any) -> None:
        """Remember it."""
        self.dotted, self.space, self.key, self.value = dotted, space, key, value


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
            self._library.check(often=True)


def _entries(name: str, module: types.ModuleType) -> Iterator[Entry]:
    """All that is watched of a module."""
    space = vars(module)
    for key, value in list(space.items()):
        if callable(value) and f"{name}.{key}" not in _CHANGES_HONESTLY:
            yield Entry(f"{name}.{key}", space, key, value)
        if isinstance(value, type) and value.__module__ == name:
            for inner, member in list(vars(value).items()):
                if inner in _OF_CLASSES or (not inner.startswith("__") and _is_code(member)):
                    yield Entry(f"{name}.{key}.{inner}", vars(value), inner, member)


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
    module = str(getattr(value, "__module__", ""))
    return str(getattr(sys.modules.get(module), "__file__", None) or module)
