"""Images of the code of tests: instructions and constants, which code under test may write over in memory.

Runs inside the sandbox. Nothing in Python alters a code object, so an image is the same however often code has run.
"""

from __future__ import annotations

import dis
import opcode
from collections.abc import Iterator, Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

Image = tuple[str, bytes, tuple[str, ...]]
"""Name of a function, its instructions without what running leaves in them, and its constants as they are written."""
_NUMBERS: dict[str, int] = getattr(dis, "_all_opmap", dis.opmap)
_CACHES: Any = getattr(opcode, "_inline_cache_entries", {})


class CodeImages:
    """Images of a module's code, taken before it runs, and code of its functions."""

    def __init__(self, code: CodeType) -> None:
        """Take them."""
        self._code, self._known = code, tuple(_images(code))
        self._functions: tuple[tuple[FunctionType, CodeType], ...] = ()

    def watch(self, space: Mapping[str, Any]) -> None:
        """Remember the code of functions and methods that the module has made."""
        classes = [value for value in space.values() if isinstance(value, type)]
        members = [member for part in (space, *map(vars, classes)) for member in list(part.values())]
        own = [member for member in members if isinstance(member, FunctionType)]
        file = self._code.co_filename
        self._functions = tuple(
            (function, function.__code__) for function in own if function.__code__.co_filename == file
        )

    def altered(self) -> Iterator[str]:
        """Name functions whose code is no longer what it was."""
        for known, image in zip(self._known, _images(self._code), strict=False):
            if known[2] != image[2] or (known[1] != image[1] and known[1] and image[1]):
                yield known[0]
        for function, code in self._functions:
            if function.__code__ is not code:
                yield function.__name__


@cache
def _general() -> dict[int, int]:
    """Numbers of instructions, by numbers of the same ones that are made for values which they have met."""
    known: dict[str, str] = getattr(dis, "deoptmap", {})
    return {number: _NUMBERS.get(known.get(name, name), number) for name, number in _NUMBERS.items()}


def _images(code: CodeType) -> Iterator[Image]:
    """Image of a code object, and of those among its constants."""
    constants = tuple("" if isinstance(constant, CodeType) else repr(constant) for constant in code.co_consts)
    yield code.co_name, _instructions(code), constants
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _images(constant)


def _instructions(code: CodeType) -> bytes:
    """Instructions as the compiler made them; empty: some are there that a debugger has put in."""
    adaptive: bytes | None = getattr(code, "_co_code_adaptive", None)
    if adaptive is None:
        return bytes(bytearray(code.co_code))  # a copy
    instructions, at, general = bytearray(), 0, _general()
    while at < len(adaptive):
        number = general.get(adaptive[at])
        name = "" if number is None else dis.opname[number]
        if number is None or name.startswith(("INSTRUMENTED", "ENTER_EXECUTOR", "<")):
            return b""
        instructions += bytes((number, adaptive[at + 1]))
        at += 2 + 2 * int(_CACHES.get(name, 0) if hasattr(_CACHES, "get") else _CACHES[number])
    return bytes(instructions)
