"""Asking the released sample service something over HTTP, as its users would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from phasegate.infra.errors import DeployFailed

_NEW_LINK = {"url": "https://example.org/survey", "code": "survey", "expires_in_seconds": 3600}


@dataclass(frozen=True)
class HttpExchange:
    """A request and its answer, for display."""

    request: str
    status: int
    answer: str


def ask_for_an_expiring_link(url: str) -> HttpExchange:
    """Use the feature of ticket 1: make a link that expires in an hour."""
    return _ask(url, "POST", "/api/links", _NEW_LINK)


def follow(url: str) -> HttpExchange:
    """Follow a link as far as its redirect, which ticket 3 changed."""
    return _ask(url, "GET", "/handbook")


def ask_for_a_link_without_code(url: str) -> HttpExchange:
    """Leave the code out, which ticket 4 forbids."""
    return _ask(url, "POST", "/api/links", {"url": "https://example.org/survey"})


def look_up(url: str) -> HttpExchange:
    """Look a link up, which any release can."""
    return _ask(url, "GET", "/api/links/handbook")


def _ask(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> HttpExchange:
    address = url.rstrip("/") + path
    try:
        answer = httpx.request(method, address, json=body, timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise DeployFailed(f"{method} {address} got no answer: {error}") from error
    payload = f" {json.dumps(body)}" if body else ""
    return HttpExchange(f"{method} {address}{payload}", answer.status_code, answer.text.strip())
