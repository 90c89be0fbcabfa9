"""Watch over the standard library and the test runners: functions that were replaced, or whose code was.

Runs inside the sandbox, in the process that loads the change. A snapshot is taken before any of its code is loaded.
"""

from __future__ import annotations

import importlib
import operator
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LIBRARY = """
builtins json json.decoder json.encoder json.scanner os posixpath io pathlib re time datetime random math subprocess
collections functools itertools operator copy hashlib hmac secrets uuid decimal fractions string textwrap csv types
inspect ast importlib importlib.util pickle struct base64 zlib gzip shutil tempfile glob socket http.client
urllib.request threading contextlib enum dataclasses typing statistics difflib codecs locale sqlite3 configparser
unittest unittest.case unittest.mock unittest.result unittest.runner unittest.suite unittest.loader
"""
INSTALLED_RUNNERS = """
pytest _pytest.python_api _pytest.raises _pytest.assertion.util _pytest.assertion.rewrite _pytest.runner
_pytest.outcomes _pytest.reports _pytest.python pluggy
"""
_OFTEN = ("builtins", "json", "os", "posixpath", "io", "pathlib", "re", "unittest.case", "pytest", "_pytest.python_api")
"""Modules that are looked at after each call of a test."""
_OF_BUILTINS = ("__eq__", "__ne__", "__contains__", "__call__", "__enter__", "__exit__", "__init__", "__new__")
_NO_BEHAVIOUR = ("__annotate__", "__class_getitem__", "__subclasshook__", "__new__", "__init_subclass__", "__class__")
"""Members of classes that libraries put there as they register or describe a class."""
_IS_IMMUTABLE = 1 << 8
"""Flag of classes that cannot be assigned to."""
_CHECKS = 50
"""Calls of one test that are checked, since some make very many."""
_CHANGES_HONESTLY = ("builtins._", "threading._shutdown", "threading._main_thread", "threading.excepthook")


class Library:
    """Functions and methods of watched modules, as they were before the change was loaded."""

    def __init__(self, *, runners: bool = True) -> None:
        """Import what is watched, where it is installed, and remember it.

        Args:
            runners: False to leave out runners that are no part of Python.
        """
        self.modules: dict[str, types.ModuleType] = {}
        """Watched modules by their names."""
        self.places = list(sys.path)
        """Folders that modules come from before the change is loaded."""
        self._all: list[Entry] = []
        self._often: list[Entry] = []
        for name in (*LIBRARY.split(), *(INSTALLED_RUNNERS.split() if runners else ())):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            self.modules[name] = module
            entries = list(_entries(name, module))
            self._all += entries
            self._often += entries if name in _OFTEN else []
        self.replaced: dict[str, str] = {}
        self.running = ""
        """Path of the test file whose test runs."""
        self.also: list[Callable[[], None]] = []
        """Checks of what else is watched, each time that the library is checked."""

    def watch(self, name: str, module: types.ModuleType) -> None:
        """Watch a module that was loaded once more, besides the one that was there before."""
        self._all += list(_entries(name, module))

    def check(self, *, often: bool = False, by_test: bool = False) -> None:
        """Note what is no longer what it was, each name once.

        Args:
            often: True to look at the few modules only that are looked at after each call.
            by_test: True after a test that patches for itself, and may leave something behind.
        """
        for entry in self._often if often else self._all:
            change = entry.changed()
            if change is None:
                continue
            if by_test:
                entry.remember()
            elif entry.dotted not in self.replaced:
                self.replaced[entry.dotted] = origin(change[0])
        for check in self.also:
            check()


class Entry:
    """A function or an object of the library, and where it stands."""

    def __init__(self, dotted: str, space: Mapping[str, Any], key: str) -> None:
        """Remember it."""
        self.dotted, self.space, self.key = dotted, space, key
        self.remember()

    def remember(self) -> None:
        """Take it as it is now for what it is to be."""
        self.value = self.space.get(self.key, getattr(self, "value", None))
        self._inside = list(_inside(self.value))
        self._has_own = _is_object(self.value) and isinstance(getattr(self.value, "__dict__", None), dict)
        self._own = _callables(self.value) if self._has_own else {}
        self._type: Any = type(self.value)

    def changed(self) -> tuple[Any] | None:
        """Value that has come into its place or into it, or `None` if nothing has."""
        value = self.space.get(self.key, self.value)
        if value is not self.value:
            if callable(self.value) or _is_code(self.value) or _has_other_code(value, self._type, self._own):
                return (value,)
            return None
        for place, attribute, known in self._inside:
            part = _part(place, attribute)
            if part is not known and not _same(part, known):
                return (next((candidate for candidate in _parts(part) if callable(candidate)), part),)
        if self._has_own:
            if type(value) is not self._type:
                return (value.__class__,)
            for key, part in _callables(value).items():
                if self._own.get(key) is not part:
                    return (part,)
        return None


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
        if f"{name}.{key}" not in _CHANGES_HONESTLY and (callable(value) or _is_object_of(name, value)):
            yield Entry(f"{name}.{key}", space, key)
        if isinstance(value, type) and value.__module__ == name:
            for inner, member in list(vars(value).items()):
                if _is_watched(value, inner, member):
                    yield Entry(f"{name}.{key}.{inner}", vars(value), inner)


def _is_watched(cls: type, name: str, member: Any) -> bool:
    """True for a method of a class, or a slot that others can put a method into."""
    if name in _OF_BUILTINS:
        return True
    if name.startswith("__"):
        is_method = isinstance(member, (types.FunctionType, types.WrapperDescriptorType, types.MethodDescriptorType))
        return is_method and name not in _NO_BEHAVIOUR and not cls.__flags__ & _IS_IMMUTABLE
    return _is_code(member)


def _is_object(value: Any) -> bool:
    """True for an instance of a class that is written in Python."""
    plain = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
    return not isinstance(value, (*plain, property, classmethod, staticmethod))


def _is_object_of(name: str, value: Any) -> bool:
    """True for an object of a module that is of a class of its package, such as its default decoder."""
    own = str(type(value).__module__).partition(".")[0] == name.partition(".")[0] != "builtins"
    return own and _is_object(value) and isinstance(getattr(value, "__dict__", None), dict)


def _callables(value: Any) -> dict[str, Any]:
    """Functions that lie in an object itself."""
    return {key: part for key, part in dict[str, Any](value.__dict__).items() if callable(part)}


def _has_other_code(value: Any, known: type, own: Mapping[str, Any]) -> bool:
    """True for an object in the place of another that does not do what that one does; data alone does nothing."""
    if not _is_object(value) or type(value).__module__ == "builtins":
        return callable(value)
    if type(value) is not known:
        return True
    return any(
        isinstance(part, types.FunctionType) and own.get(key) is not part for key, part in _callables(value).items()
    )


def _functions(value: Any) -> Iterator[Any]:
    """Python functions that a member of a module or of a class consists of."""
    for candidate in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "__wrapped__"))):
        if isinstance(candidate, types.FunctionType):
            yield candidate


def _inside(value: Any) -> Iterator[tuple[Any, str, Any]]:
    """Places in a function that decide on what it does, each with what is there; of a closure, functions alone."""
    for function in _functions(value):
        for attribute in ("__code__", "__defaults__", "__kwdefaults__"):
            known = getattr(function, attribute)
            yield function, attribute, known.copy() if type(known) is dict else known
        for cell in function.__closure__ or ():
            known = _part(cell, "cell_contents")
            if isinstance(known, types.FunctionType):
                yield cell, "cell_contents", known


def _part(place: Any, attribute: str) -> Any:
    try:
        return getattr(place, attribute)
    except ValueError:  # a cell that is empty
        return None


def _parts(value: Any) -> list[Any]:
    """Values of a function's defaults, with their names, or the one value that it is."""
    kind = value.__class__
    return [*value, *value.values()] if kind is dict else [*value] if kind is tuple else [value]


def _same(value: Any, known: Any) -> bool:
    """True for defaults that hold the very same values."""
    if type(value) is not type(known) or len(_parts(value)) != len(_parts(known)):
        return False
    return all(map(operator.is_, _parts(value), _parts(known)))


def _is_code(member: Any) -> bool:
    return callable(member) or isinstance(member, (property, classmethod, staticmethod))


def origin(value: Any) -> str:
    """File that a replacement was written in or its module, or an empty string if it does not say."""
    pending: list[Any] = [value]
    for _ in range(5):
        known = pending[-1]
        code = known if isinstance(known, types.CodeType) else getattr(known, "__code__", None)
        if code is not None:
            return str(code.co_filename)
        inner = getattr(known, "func", None) or getattr(known, "__func__", None) or getattr(known, "fget", None)
        if inner is None:
            break
        pending.append(inner)
    module = str(getattr(value, "__module__", None) or type(value).__module__)
    return str(getattr(sys.modules.get(module), "__file__", None) or module)
