"""Errors for a provider's refusals: each HTTP status or reported error becomes one of phasegate's tree.

Only `client` calls it. `error_rules` has the table of what is sent again; `reset_times` reads when a limit ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, cast

import httpx
from pydantic import BaseModel

from phasegate.agents.models.error_rules import ErrorRule, rule_for
from phasegate.agents.models.keys import KEY_VARIABLES
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.reset_times import (
    asked_wait,
    limit_end,
    local_time,
    next_month,
    reset_of_headers,
    wait_of_message,
)
from phasegate.agents.models.stops import Stop
from phasegate.agents.models.wire import ResponseFailed
from phasegate.infra.documents.json_text import read_json
from phasegate.infra.errors import (
    ModelDeclined,
    ModelKeyMissing,
    ModelLimited,
    ModelRefused,
    ModelUnavailable,
    PhasegateError,
    RehearsalDeparted,
)

REHEARSAL_DEPARTED = "rehearsal_departed"
"""The `error.type` with which the rehearsal server says that a request does not match the script."""

_LONGEST_MESSAGE = 600
_SHORT = timedelta(minutes=1)
"""A limit that ends so soon is waited for, as a rate limit is."""


class _Body(BaseModel):
    error: dict[str, Any] | str


def error_of_status(name: ModelName, key: str, response: httpx.Response, content: bytes) -> PhasegateError:
    """The error for an answer that is not a success.

    Args:
        name: The model asked.
        key: The key used, kept out of the message should the provider repeat it.
        response: Its status and headers.
        content: Its body.
    """
    facts, status = _read(content), response.status_code
    message = _line(facts.get("message")) or f"HTTP {status} {response.reason_phrase}".strip()
    message = message.replace(key, "…") if key else message
    if facts.get("type") == REHEARSAL_DEPARTED:
        return RehearsalDeparted(str(facts.get("message")), stage=facts.get("stage"), turn=facts.get("turn"))
    rule = rule_for(status, _words(facts), message)
    if rule is not None and rule.outcome != "retry":
        return _stopping(name, rule, facts, message, response.headers)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        variable = KEY_VARIABLES[name.provider]
        return ModelKeyMissing(
            f"{name} does not accept the key in {variable}: {message}",
            remedy=f"Set {variable} to a key that may use this model, or rehearse the run: `--rehearse SCRIPT`.",
            variable=variable,
            status=status,
        )
    if _is_retried(rule, response.headers):
        return _unavailable(name, message, response.headers, status)
    return ModelRefused(f"{name} refused the request: {message}", remedy=_remedy(status), status=status)


def error_of_answer(name: ModelName, failure: ResponseFailed) -> PhasegateError:
    """The error for a failure that the provider reported inside its answer."""
    message, words = f"{_line(failure)} ({failure.kind})", {failure.kind, *_words(failure.facts)}
    rule = rule_for(None, words, message)
    if rule is None and failure.kind.isascii() and failure.kind.isdecimal():  # gateways put the status there
        rule = rule_for(int(failure.kind[:3]), words, message)
    if rule is None:
        return ModelRefused(f"{name}: {message}", kind=failure.kind)
    if rule.outcome == "retry":
        return _unavailable(name, message, {})
    return _stopping(name, rule, failure.facts, message, {})


def declined(model: str, stop: Stop) -> ModelDeclined:
    """The error for an answer that the model refused, or that a filter held back."""
    reason = f": {stop['reason']}" if stop["reason"] else ""
    return ModelDeclined(f"{model} refused to answer ({stop['word']}){reason}", model=model, word=stop["word"])


def given_up(error: ModelUnavailable, tries: int, wait_seconds: float, longest_seconds: float) -> ModelUnavailable:
    """The error for a request that is not sent again.

    Args:
        error: The last failure.
        tries: The number of times that the request was sent.
        wait_seconds: The next wait.
        longest_seconds: The longest wait; a longer one is left to the caller, and the error tells when it ends.
    """
    wait = timedelta(seconds=wait_seconds)
    until = f", asks to wait until {local_time(datetime.now(UTC) + wait)}" if wait_seconds > longest_seconds else ""
    message = f"{error.message} ({tries} {'try' if tries == 1 else 'tries'}{until})"
    return ModelUnavailable(message, delay=wait, remedy=_LATER, tries=tries)


_LATER = (
    "`phasegate resume RUN` asks again. Models named under `[agents] fallback` in phasegate.toml "
    "take over by themselves."
)


def _stopping(
    name: ModelName, rule: ErrorRule, facts: Mapping[str, Any], message: str, headers: Mapping[str, str]
) -> PhasegateError:
    """The error for a limit or a refusal, which no retry mends."""
    if rule.outcome == "declined":
        return ModelDeclined(f"{name} refused to answer: {message}", model=str(name))
    now = datetime.now(UTC)
    end = limit_end(facts, message, headers, now) or (next_month(now) if rule.ends == "month" else None)
    if end is not None and end - now <= _SHORT:
        return _waiting(name, message, end - now)
    until = f" until {local_time(end)}" if end is not None else ""
    return ModelLimited(
        f"{name} has reached a limit of its account{until}: {message}",
        model=str(name),
        until=end.isoformat() if end is not None else "",
    )


def _unavailable(
    name: ModelName, message: str, headers: Mapping[str, str], status: int | None = None
) -> ModelUnavailable:
    now = datetime.now(UTC)
    reset = reset_of_headers(headers, now) if status == HTTPStatus.TOO_MANY_REQUESTS else None
    waits = (asked_wait(headers, now), reset, wait_of_message(message))
    return _waiting(name, message, next((wait for wait in waits if wait is not None), None))


def _waiting(name: ModelName, message: str, wait: timedelta | None) -> ModelUnavailable:
    """The error for a request that is sent again after a wait, if the provider asks for one."""
    seconds = None if wait is None else max(wait.total_seconds(), 0.0)
    return ModelUnavailable(f"{name}: {message}", delay=wait, retry_after_seconds=seconds)


def _read(content: bytes) -> Mapping[str, Any]:
    """The provider's error, or the text of the body as its message."""
    try:
        error = _Body.model_validate(read_json(content, "the answer")).error
    except ValueError:
        return {"message": content.decode("utf-8", "replace")}
    return {"message": error} if isinstance(error, str) else error


def _words(facts: Mapping[str, Any]) -> set[str]:
    """The types and codes of an error: some providers put the telling one into its details."""
    details = facts.get("details")
    inner = cast("Mapping[str, Any]", details).get("error_code") if isinstance(details, dict) else None
    return {str(word) for word in (facts.get("type"), facts.get("code"), inner) if isinstance(word, str)}


def _line(text: object) -> str:
    return " ".join(str(text or "").split())[:_LONGEST_MESSAGE]


def _is_retried(rule: ErrorRule | None, headers: Mapping[str, str]) -> bool:
    """True if a retry may help, by the provider's own header or else by the table."""
    header = headers.get("x-should-retry")
    return header == "true" if header in {"true", "false"} else rule is not None


def _remedy(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "Check the model's name and the base URL."
    if httpx.codes.is_redirect(status):
        return "Set the base URL to the address it redirects to."
    return ""
