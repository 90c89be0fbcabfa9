"""Durations and sizes as people write them in a policy."""

from __future__ import annotations

import re
from datetime import timedelta

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def parse_duration(value: object) -> object:
    """Turn `"90s"`, `"15m"`, `"4h"`, `"7d"` or `"250ms"` into a timedelta.

    Raises:
        ValueError: The text is no such duration.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and value.startswith("P"):  # ISO 8601, as a stored policy spells it: left to pydantic
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"not a duration: {_short(value)}; write for example 250ms, 90s, 15m, 4h or 7d")
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError as error:
        raise ValueError(f"longer than a duration can be: {_short(value)}") from error


def parse_size(value: object) -> object:
    """Turn `"2GiB"`, `"512MiB"` or a number of bytes into bytes.

    Raises:
        ValueError: The text is no such size.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]{1,15})\s*(B|KiB|MiB|GiB)", value.strip())
    if match is None:
        raise ValueError(f"not a size: {_short(value)}; write for example 512MiB or 2GiB")
    return int(match[1]) * _BYTES[match[2]]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
