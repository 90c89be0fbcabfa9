"""Errors for a provider's refusals: each HTTP status or reported error becomes one of phasegate's tree.

Only `client` calls it. Source: the "Errors" pages of both providers, and which statuses their SDKs try again.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx
from pydantic import BaseModel, ValidationError

from phasegate.agents.models.keys import KEY_VARIABLES
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.stops import Stop
from phasegate.agents.models.wire import ResponseFailed
from phasegate.infra.errors import (
    ModelDeclined,
    ModelKeyMissing,
    ModelRefused,
    ModelUnavailable,
    PhasegateError,
    RehearsalDeparted,
)

REHEARSAL_DEPARTED = "rehearsal_departed"
"""The `error.type` with which the rehearsal server says that a request does not match the script."""

_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429})
_TEMPORARY_KINDS = frozenset(
    {
        "api_error",
        "internal_server_error",
        "overloaded_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "server_error",
        "server_overloaded",
        "timeout_error",
        "vector_store_timeout",
    }
)
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Sent as 429, but no waiting helps."""

_LONGEST_MESSAGE = 600
_LONGEST_WAIT = timedelta(days=1)


class _Error(BaseModel):
    type: str | None = None
    code: str | int | None = None
    message: str = ""
    stage: str | None = None
    turn: int | None = None


class _Body(BaseModel):
    error: _Error | str


def error_of_status(name: ModelName, key: str, response: httpx.Response, content: bytes) -> PhasegateError:
    """The error for an answer that is not a success.

    Args:
        name: The model asked.
        key: The key used, kept out of the message should the provider repeat it.
        response: Its status and headers.
        content: Its body.
    """
    error, status = _read(content), response.status_code
    message = error.message or f"HTTP {status} {response.reason_phrase}".strip()
    message = message.replace(key, "…") if key else message
    if error.type == REHEARSAL_DEPARTED:
        return RehearsalDeparted(message, stage=error.stage, turn=error.turn)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        variable = KEY_VARIABLES[name.provider]
        return ModelKeyMissing(
            f"{name} does not accept the key in {variable}: {message}",
            remedy=f"Set {variable} to a key that may use this model, or rehearse the run: `--rehearse SCRIPT`.",
            variable=variable,
            status=status,
        )
    if error.type in _NO_MONEY or error.code in _NO_MONEY:
        return ModelRefused(
            f"{name}: {message}", remedy="Check the plan and the billing of the account the key belongs to."
        )
    if _is_temporary(response):
        after = _asked_for(response.headers)
        retry_after = None if after is None else after.total_seconds()
        return ModelUnavailable(f"{name}: {message}", delay=after, status=status, retry_after_seconds=retry_after)
    return ModelRefused(f"{name} refused the request: {message}", remedy=_remedy(status), status=status)


def declined(model: str, stop: Stop) -> ModelDeclined:
    """The error for an answer that the model refused, or that a filter held back."""
    reason = f": {stop['reason']}" if stop["reason"] else ""
    return ModelDeclined(f"{model} refused to answer ({stop['word']}){reason}", model=model, word=stop["word"])


def error_of_answer(name: ModelName, failure: ResponseFailed) -> PhasegateError:
    """The error for a failure that the provider reported inside its answer."""
    temporary = failure.kind in _TEMPORARY_KINDS or failure.kind == "429" or failure.kind.startswith("5")
    error = ModelUnavailable if temporary else ModelRefused
    return error(f"{name}: {failure} ({failure.kind})", kind=failure.kind)


def _read(content: bytes) -> _Error:
    try:
        error = _Body.model_validate_json(content).error
    except ValidationError:
        return _Error(message=" ".join(content.decode("utf-8", "replace").split())[:_LONGEST_MESSAGE])
    return _Error(message=error) if isinstance(error, str) else error


def _is_temporary(response: httpx.Response) -> bool:
    """True if a retry may help, by the provider's own header or else by the status."""
    header: str | None = response.headers.get("x-should-retry")
    if header in {"true", "false"}:
        return header == "true"
    return response.status_code in _TEMPORARY_STATUSES or response.is_server_error


def _asked_for(headers: httpx.Headers) -> timedelta | None:
    """The wait that the provider asks for: milliseconds come first, as in the SDKs."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdecimal():
        return min(timedelta(milliseconds=int(milliseconds[:12])), _LONGEST_WAIT)
    return _retry_after(headers.get("retry-after", ""))


def _retry_after(value: str) -> timedelta | None:
    """Parse `Retry-After`: seconds or an HTTP date. Source: RFC 9110, 10.2.3.

    Returns:
        The wait, or None if the header is missing or malformed.
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    if not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT.total_seconds()))


def _remedy(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "Check the model's name and the base URL."
    if httpx.codes.is_redirect(status):
        return "Set the base URL to the address it redirects to."
    return ""
