"""Times at which limits of providers end, from an answer's headers, its error and its message.

`failures` asks. Each provider writes them in its own way, and any of them may be malformed: a malformed time is none.
Sources: RFC 9110, 10.2.3 (`Retry-After`); https://developers.openai.com/api/docs/guides/rate-limits and
https://platform.claude.com/docs/en/api/rate-limits (headers); error_rules.py names those of errors and messages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

_FARTHEST = timedelta(days=400)
"""A later time is none that a provider means."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = r"\d{1,9}(?:\.\d{1,9})?"
_PART = rf"({_AMOUNT})(ms|s|m|h|d)"
_DURATION = re.compile(rf"(?:{_PART}){{1,5}}")
_WITHIN = re.compile(rf"again in ((?:{_PART} ?){{1,5}}|{_AMOUNT} ?seconds?)", re.IGNORECASE)
_REGAINED = re.compile(r"regain access on (\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}))? UTC", re.IGNORECASE)
_RESET_HEADER = re.compile(r"(?:x-ratelimit-reset(-.+)?|anthropic-ratelimit-(.+)-reset)")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e11
"""From these on a number is no duration but a moment: OpenRouter and others send one."""


def asked_wait(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that a provider asks for in `Retry-After`: milliseconds come first, as in the SDKs."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdecimal():
        return _bounded(int(milliseconds[:12]) / 1000)
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    moment = _http_date(value)
    return None if moment is None else _bounded((moment - now).total_seconds())


def reset_of_headers(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait until the last of the limits that are used up is free again; None if no header says so."""
    waits = [wait for wait in _resets(headers, now) if wait is not None]
    return max(waits, default=None)


def limit_end(facts: Mapping[str, Any], message: str, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """The moment at which a limit ends.

    Args:
        facts: The provider's error.
        message: Its message.
        headers: The headers of the answer.
        now: The present time, UTC.

    Returns:
        The moment in UTC, or None if nothing tells it.
    """
    at = _number(facts.get("resets_at"))
    if at is not None and (moment := _moment(at)) is not None:
        return moment if now - _FARTHEST < moment < now + _FARTHEST else None
    seconds = _number(facts.get("resets_in_seconds"))
    waits = (
        None if seconds is None else _bounded(seconds),
        asked_wait(headers, now),
        reset_of_headers(headers, now),
        wait_of_message(message),
    )
    wait = next((wait for wait in waits if wait is not None), None)
    return _regained(message) if wait is None else now + wait


def wait_of_message(message: str) -> timedelta | None:
    """The wait that a message asks for, such as `Please try again in 1m2.5s`."""
    if (match := _WITHIN.search(message)) is None:
        return None
    seconds = _seconds(re.sub(r"seconds?$", "s", match[1].replace(" ", "")))
    return None if seconds is None else _bounded(seconds)


def next_month(now: datetime) -> datetime:
    """The first moment of the next month, UTC."""
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)


def local_time(moment: datetime) -> str:
    """A moment in local time, with its zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[timedelta | None]:
    for name, value in headers.items():
        is_reset = _RESET_HEADER.fullmatch(name.lower()) is not None
        if is_reset and headers.get(name.lower().replace("reset", "remaining"), "0").strip() == "0":
            yield _reset(value.strip(), now)


def _reset(value: str, now: datetime) -> timedelta | None:
    """The wait until a header's moment, which is a duration, a number or a date."""
    seconds = _seconds(value)
    if seconds is not None and seconds < _EPOCH_SECONDS:
        return _bounded(seconds)
    moment = _iso_date(value) if seconds is None else _moment(seconds)
    return None if moment is None else _bounded((moment - now).total_seconds())


def _seconds(text: str) -> float | None:
    """Seconds of `6m0s`, `12ms` or `1.5`."""
    if _DURATION.fullmatch(text):
        return sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(_PART, text))
    return _number(text)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), _FARTHEST.total_seconds()))


def _moment(number: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(number / 1000 if number >= _EPOCH_MILLISECONDS else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso_date(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _regained(message: str) -> datetime | None:
    match = _REGAINED.search(message)
    return None if match is None else _iso_date(f"{match[1]}T{match[2] or '00:00'}+00:00")
