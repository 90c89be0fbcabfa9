"""Code of tests has one image, however often it has run, until something writes over it.

Mutations tried: images of what running leaves in code, no constants in images, no code of functions.
"""

from __future__ import annotations

import ctypes
from types import CodeType, FunctionType
from typing import Any

import pytest

from phasegate.infra.grading.integrity.plain.code_images import CodeImages

SOURCE = """
class Shop:
    def total(self, prices):
        return sum(one * 1000 for one in prices if one in (1, 2, "a") or one > 0.5)


def check(count):
    shop = Shop()
    for _ in range(count):
        assert shop.total([1, 2]) == 3000
    return {"count": count, **{}}


def large():
    return 123456789
"""


def loaded() -> tuple[CodeImages, dict[str, Any]]:
    code, space = compile(SOURCE, "tests.py", "exec"), dict[str, Any]()
    images = CodeImages(code)
    exec(code, space)
    images.watch(space)
    return images, space


def test_code_that_has_run_is_the_same() -> None:
    images, space = loaded()
    assert space["check"](200)["count"] == 200
    assert list(images.altered()) == []


def _put_code(space: dict[str, Any]) -> None:
    space["large"].__code__ = space["check"].__code__


def _put_method(space: dict[str, Any]) -> None:
    space["Shop"].total.__code__ = (lambda self, prices: 3000).__code__


def _write_constant(space: dict[str, Any]) -> None:
    number = next(one for one in space["large"].__code__.co_consts if type(one) is int)
    ctypes.c_uint32.from_address(id(number) + 24).value = 5


def _write_instruction(space: dict[str, Any]) -> None:
    function: FunctionType = space["check"]
    first = id(function.__code__) + CodeType.__basicsize__
    ctypes.memmove(first + 2, first, 2)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (_put_code, "large"),
        (_put_method, "total"),
        (_write_constant, "large"),
        (_write_instruction, "check"),
    ],
)
def test_code_that_is_written_over_is_named(write: Any, name: str) -> None:
    images, space = loaded()
    write(space)
    assert list(images.altered()) == [name]
