"""Calls that tests make of the project's functions, and what the same functions answer to inputs nearby.

Runs inside the sandbox, at the end of the plain process and in a child of it: neither what the varied inputs do nor
how long they take concerns the tests. It must not know what an answer means.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import re
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from phasegate.infra.grading.integrity.agreement import different_values
from phasegate.infra.grading.integrity.plain.namespaces import OF_TESTS
from phasegate.infra.grading.integrity.plain.values import OTHER, NotPlain, kind_of, read_value, write_value
from phasegate.infra.grading.integrity.plain.variations import vary

_MOST_FUNCTIONS, _MOST_INPUTS = 40, 8
_MOST_OBJECTS = 300
_SECONDS_TO_NOTE, _SECONDS_TO_CALL, _SECONDS_OF_TEST, _SECONDS_OF_CALL = 2.0, 4.0, 2, 0.5
_SECONDS_IN_SUM = 9.0
_MEMORY = 1 << 30
"""Bytes that the varied calls may need besides what the process has."""
_NO_CALL = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Flags of functions whose call does nothing yet."""

STOPPED = ["stopped"]
"""Outcome of a call that takes too long."""
_LIBRARY_FOLDER = os.path.dirname(os.__file__) + "/"
_OF_THIS_PROCESS = re.compile(r"0x[0-9a-f]{6,}|/tmp/")
"""In an answer that no other process gives: an address, a folder of its own."""


class CallStopped(BaseException):
    """A call takes too long."""


class Noted:
    """A function, and inputs that tests gave to it."""

    def __init__(self, file: str, module: str, names: tuple[str, ...], *, is_method: bool) -> None:
        """Start without inputs.

        Args:
            file: Path of its source.
            module: Its name.
            names: Dotted names by which the module has the function.
            is_method: True if an object has to be made first.
        """
        self.file, self.module, self.names, self.is_method = file, module, names, is_method
        self.inputs: dict[str, tuple[list[Any], Any, set[str]]] = {}
        """Inputs by their text: each as it is written, its result in the test, and kinds of tests."""

    def answer(self, given: list[Any]) -> tuple[Any, Any]:
        """Call it once.

        Returns:
            What came of it as data, and the result itself.
        """
        constructor, words, named = given
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_OF_CALL)
        try:
            function: Any = sys.modules[self.module]
            owner, _, method = self.names[0].rpartition(".")
            for part in owner.split(".") if owner else ():
                function = getattr(function, part)
            if self.is_method:
                function = _called(function, *constructor)
            result = _called(getattr(function, method), words, named)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is what came of it
            return STOPPED if isinstance(error, CallStopped) else ["raised", type(error).__name__], None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return _outcome(result), result


class CallNotes:
    """Notes on calls out of tests, taken as `sys.setprofile` sends them."""

    def __init__(self, root: str, changed: set[str]) -> None:
        """Start without any.

        Args:
            root: Path of the checkout.
            changed: Paths of the change's product files.
        """
        self._root, self._changed = root + "/", changed
        self.found: dict[tuple[str, tuple[str, ...]], Noted] = {}
        self._made: dict[int, tuple[Any, list[Any]]] = {}
        self._open: dict[Any, tuple[Noted, str]] = {}
        self._known: dict[Any, Any] = {}
        self.file, self.kind = "", ""
        """Path of the test file that runs, and the kind of its tests."""

    def __call__(self, frame: Any, event: str, value: Any) -> None:
        """Take an event."""
        if event == "call":
            back = frame.f_back
            if back is not None and back.f_code.co_filename == self.file:
                self._begin(frame)
        elif event == "return" and frame in self._open:
            noted, key = self._open.pop(frame)
            given, _, kinds = noted.inputs[key]
            noted.inputs[key] = given, _outcome(value), kinds

    def _begin(self, frame: Any) -> None:
        code = frame.f_code
        if code.co_flags & _NO_CALL:
            return
        try:
            if code.co_name == "__init__":
                self._note_object(frame)
            elif self._is_product(code.co_filename):
                self._note_call(frame)
        except NotPlain:
            return

    def _is_product(self, file: str) -> bool:
        """True for a file of the change, or one beside it that is no test's: a change may be called through it."""
        if file in self._changed:
            return True
        is_own = file.startswith(self._root) and "-packages/" not in file
        return is_own and file != self.file and not OF_TESTS.search(file[len(self._root) :].removesuffix(".py"))

    def _has_room(self, file: str) -> bool:
        """True if one more function may be noted; those of changed files and others are counted apart."""
        is_changed = file in self._changed
        return sum((noted.file in self._changed) is is_changed for noted in self.found.values()) < _MOST_FUNCTIONS

    def _note_object(self, frame: Any) -> None:
        instance = frame.f_locals.get(frame.f_code.co_varnames[0]) if frame.f_code.co_argcount else None
        kind = kind_of(instance)
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        if self._is_product(file or "") and len(self._made) < _MOST_OBJECTS:
            words, named = _arguments(frame, inspect.getattr_static(kind, "__init__"), skip=1)
            self._made[id(instance)] = instance, [words, named]

    def _note_call(self, frame: Any) -> None:
        definition = self._found(frame)
        if definition is None:
            return
        names, function, skip, cls = definition
        module: str = frame.f_globals["__name__"]
        given: Any = None
        if cls is not None:
            owner: Any = frame.f_locals[frame.f_code.co_varnames[0]]
            module, names = type(owner).__module__, (f"{type(owner).__qualname__}.{frame.f_code.co_name}",)
            kept: Any = self._made.get(id(owner))
            if kept is None:
                if any("__init__" in vars(base) or "__new__" in vars(base) for base in type(owner).__mro__[:-1]):
                    return
                kept = owner, [[], {}]
            given = kept[1]
        words, named = _arguments(frame, function, skip=skip)
        whole: list[Any] = [given, words, named]
        key, text = (module, names), json.dumps(whole)
        if key not in self.found and self._has_room(frame.f_code.co_filename):
            self.found[key] = Noted(frame.f_code.co_filename, module, names, is_method=cls is not None)
        noted = self.found.get(key)
        if noted is None or (text not in noted.inputs and len(noted.inputs) >= _MOST_INPUTS):
            return
        kinds = noted.inputs.setdefault(text, (whole, None, set()))[2]
        if self.kind not in kinds:
            kinds.add(self.kind)
            self._open[frame] = noted, text

    def _found(self, frame: Any) -> Any:
        """Names of a frame's function, the function, how many arguments it gets by itself, and a method's class."""
        code = frame.f_code
        if code.co_freevars or code not in self._known:
            self._known[code] = next(_functions_of(frame), None)
        return self._known[code]


def _functions_of(frame: Any) -> Iterator[Any]:
    space: dict[str, Any] = frame.f_globals
    names = [name for name, value in list(space.items()) if _is_of(value, frame)]
    if names:
        yield tuple(names), space[names[0]], 0, None
    for name, cls in list(space.items()):
        if not isinstance(cls, type) or cls.__module__ != space.get("__name__"):
            continue
        members: list[tuple[str, Any]] = list(vars(cls).items())
        for inner, member in members:
            function: Any = member.__func__ if type(member) in (staticmethod, classmethod) else None
            if _is_of(function, frame):
                yield (f"{name}.{inner}",), function, int(type(member) is classmethod), None
            elif inner == frame.f_code.co_name and _is_of(member, frame):
                yield (f"{name}.{inner}",), member, 1, cls


def _is_of(value: Any, frame: Any) -> bool:
    """True for the function that runs in a frame, or one that keeps its results."""
    if type(value).__name__ == "_lru_cache_wrapper":
        value = value.__wrapped__
    if not isinstance(value, types.FunctionType) or value.__code__ is not frame.f_code:
        return False
    inner = zip(frame.f_code.co_freevars, value.__closure__ or ())  # noqa: B905 - Python 3.8
    try:
        return all(cell.cell_contents is frame.f_locals.get(name) for name, cell in inner)
    except ValueError:  # a cell that is empty
        return False


def _called(function: Any, words: list[Any], named: dict[str, Any]) -> Any:
    return function(*map(read_value, words), **{name: read_value(value) for name, value in named.items()})


def _arguments(frame: Any, function: Any, *, skip: int) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a call that has just begun, written, without those that are the defaults."""
    code, values = frame.f_code, frame.f_locals
    function = getattr(function, "__wrapped__", function) if not hasattr(function, "__code__") else function
    count, by_name = code.co_argcount, code.co_kwonlyargcount
    names, rest = code.co_varnames[:count], code.co_varnames[count : count + by_name]
    defaults: tuple[Any, ...] = function.__defaults__ or ()
    usual = dict(zip(names[count - len(defaults) :], defaults)) if defaults else {}  # noqa: B905 - Python 3.8
    usual.update(function.__kwdefaults__ or {})
    at = count + by_name
    more: list[Any] = []
    if code.co_flags & inspect.CO_VARARGS:
        more, at = [*values[code.co_varnames[at]]], at + 1
    named = dict(values[code.co_varnames[at]]) if code.co_flags & inspect.CO_VARKEYWORDS else {}
    words = [values[name] for name in names[skip:]]
    if not more:
        kept = [name for name in names[skip:] if not (name in usual and values[name] is usual[name])]
        first = next((place for place, name in enumerate(names[skip:]) if name not in kept), len(words))
        fixed = max(first, getattr(code, "co_posonlyargcount", 0) - skip)
        words = words[:fixed]
        named.update({name: values[name] for name in kept if name in names[skip + fixed :]})
    named.update({name: values[name] for name in rest if not (name in usual and values[name] is usual[name])})
    return [write_value(value) for value in words + more], {name: write_value(value) for name, value in named.items()}


def _outcome(result: Any) -> Any:
    try:
        return ["gave", write_value(result)]
    except NotPlain:
        return [OTHER, type(result).__qualname__]


def _is_lenient(value: Any, deep: int = 0) -> bool:
    """True for an object of a class with an equality of its own, by which it equals clearly different values."""
    kind = kind_of(value)
    if kind in (list, tuple) and deep < 2:
        return any(_is_lenient(part, deep + 1) for part in value[:_MOST_INPUTS])
    if kind is dict and deep < 2:
        return any(_is_lenient(part, deep + 1) for part in list(value.values())[:_MOST_INPUTS])
    code = getattr(getattr(kind, "__eq__", None), "__code__", None)
    if code is None or code.co_filename.startswith(_LIBRARY_FOLDER):
        return False
    try:
        others = list(different_values(read_value(write_value(value))))
    except NotPlain:
        others = [object(), "xyzzy", 17, 10**6 + 3, 2.75]
    return sum(_says_equal(value, other) for other in others) > 1


def _says_equal(value: Any, other: Any) -> bool:
    try:
        return type(value == other) in (bool, int) and bool(value == other)
    except BaseException:  # noqa: BLE001 - whatever a comparison raises, it does not agree
        return False


def _stop_call(*_: Any) -> None:
    raise CallStopped


def try_calls(
    passed: Iterable[Any], order: dict[str, Any], run: Callable[[Any], Any], tell: Callable[..., None]
) -> None:
    """Note calls that tests make, and try inputs nearby, in a child that is waited for no longer than some seconds.

    Args:
        passed: Tests that pass.
        order: Of the process.
        run: Runs a test.
        tell: Writes a line of the result.
    """
    if not order.get("calls"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            child = os.fork()
        except OSError:  # as many processes as there may be
            return
    if not child:
        try:
            _try_calls(passed, order, run, tell)
        finally:
            os._exit(0)
    ends = time.monotonic() + _SECONDS_IN_SUM
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.005)


def _try_calls(
    passed: Iterable[Any], order: dict[str, Any], run: Callable[[Any], Any], tell: Callable[..., None]
) -> None:
    _be_quiet()
    files: set[str] = {os.path.join(order["root"], path) for path in order["changed"]}
    notes, ends = CallNotes(order["root"], files), time.monotonic() + _SECONDS_TO_NOTE
    signal.signal(signal.SIGALRM, _stop_call)
    for test in passed:
        if time.monotonic() > ends:
            break
        notes.file, notes.kind = test.file.file, "own" if test.file.path in order["own"] else "sealed"
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_OF_TEST)
        sys.setprofile(notes)
        try:
            run(test)
        except BaseException:  # noqa: BLE001, S112 - what was noted until then counts
            continue
        finally:
            sys.setprofile(None)
            signal.setitimer(signal.ITIMER_REAL, 0)
    ends = time.monotonic() + _SECONDS_TO_CALL
    for noted in sorted(notes.found.values(), key=lambda noted: noted.file not in files):
        if time.monotonic() > ends:
            break
        inputs: list[Any] = []
        with contextlib.suppress(CallStopped):  # which may come as the call ends
            inputs.extend(_answered(noted, order["root"], ends))
        if inputs:
            file = os.path.relpath(noted.file, order["root"])
            tell(call={"file": file, "module": noted.module, "names": list(noted.names), "inputs": inputs})


def _answered(noted: Noted, root: str, ends: float) -> Iterator[dict[str, Any]]:
    """Inputs of tests, with what came of each, and of those nearby; what is not the same twice is left out."""
    for given, seen, kinds in noted.inputs.values():
        answer, result = noted.answer(given)
        if answer != seen or noted.answer(given)[0] != answer or not _is_steady(answer, root):
            continue
        varied = vary(given)
        first = list(_in_time(noted, varied, ends))
        second = list(_in_time(noted, varied[: len(first)], ends))
        both = zip(varied, first, second)  # noqa: B905 - Python 3.8
        pairs = [(variation, outcome) for variation, outcome, again in both if outcome == again]
        yield {
            "given": given,
            "answer": answer,
            "lenient": _is_lenient(result),
            "by": sorted(kinds),
            "varied": [list(pair) for pair in pairs if _is_steady(pair[1], root)],
        }


def _in_time(noted: Noted, inputs: list[list[Any]], ends: float) -> Iterator[Any]:
    """Answers to inputs, until one takes too long, or all of them do."""
    for given in inputs:
        answer = noted.answer(given)[0] if time.monotonic() < ends else STOPPED
        if answer == STOPPED:
            return
        yield answer


def _is_steady(answer: Any, root: str) -> bool:
    text = json.dumps(answer)
    return answer != STOPPED and root not in text and not _OF_THIS_PROCESS.search(text)


def _be_quiet() -> None:
    """Discard what is written, read nothing, and take no more memory than a call may need."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    try:
        resource: Any = importlib.import_module("resource")
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        return
