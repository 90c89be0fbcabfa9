"""Growth of the time that something takes with the size of what it is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input")

_FACTOR = 8
_ALLOWED = 4 * _FACTOR
"""An input eight times as large may take thirty-two times as long; in a quadratic search it takes sixty-four times."""
_FREE_SECONDS = 0.5
"""Seconds that are no matter: a machine under load takes them by itself."""


def require_linear(make: Callable[[int], Input], work: Callable[[Input], object], size: int) -> None:
    """Require that the time of some work grows no faster than its input, by a generous measure.

    Args:
        make: Makes an input of a size.
        work: Takes an input.
        size: The smaller of the two sizes.
    """
    small, large = (_seconds(work, make(times * size)) for times in (1, _FACTOR))
    assert large <= _ALLOWED * small + _FREE_SECONDS, f"{small:.3f} s became {large:.3f} s"


def _seconds(work: Callable[[Input], object], value: Input) -> float:
    taken: list[float] = []
    for _ in range(3):
        began = time.process_time()
        work(value)
        taken.append(time.process_time() - began)
        if taken[-1] > 5:
            break
    return min(taken)
