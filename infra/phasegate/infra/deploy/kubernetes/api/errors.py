"""Errors of an API server, and the end that each has for a release.

    no answer, 408, 410, 429, 500, 502, 503, 504  wait: tried again for a while, then `TargetUnavailable`
    401, 403, quota, no such namespace            ask: `TargetRefused`, a person gives what is missing
    409 of fields                                 ask: `FieldConflict`, another manager owns them
    409 else                                      wait: `StaleWrite`, another client wrote first; read and decide again
    400, 404 of a kind, 422, what is left         roll back: `DeployFailed`, the manifest does not hold

Called by the cluster's adapter alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from phasegate.infra.deploy.kubernetes.api.manifests import table, tables
from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.errors import DeployFailed, PhasegateError, TargetRefused, TargetUnavailable

_WAITED_FOR = frozenset({408, 410, 429, 500, 502, 503, 504})
_NEVER_HOLDS = b"failed to create typed"
"""Message by which API servers before 1.22 say, with a 500, that what is applied does not fit its kind."""


@dataclass(frozen=True, order=True)
class OwnedField:
    """A field of an object that another manager applied or edited.

    Attributes:
        object: As people call it, e.g. `Deployment/shop`.
        field: Its path, as the API server writes it.
        owner: The field manager.
    """

    object: str
    field: str
    owner: str

    def __str__(self) -> str:
        return f"{self.object} {self.field} (owned by {self.owner})"


class FieldConflict(TargetRefused):
    """Somebody else owns a field that the release sets."""

    def __init__(self, fields: tuple[OwnedField, ...], message: str = "", *, remedy: str = "") -> None:
        """Name the fields."""
        text = message or "Somebody else owns what the release sets: " + "; ".join(map(str, fields))
        super().__init__(
            text,
            remedy=remedy
            or "Leave these fields out of the manifests, or have their owner give them up; then go on. A plan that is "
            "drafted anew shows them, and its approval takes them over.",
            reason="conflict",
        )
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling with the fields."""
        return (FieldConflict, (self.fields, self.message), {"remedy": self.remedy})


class StaleWrite(TargetUnavailable):
    """Somebody else wrote this object first."""


def is_passing(status: int, body: bytes) -> bool:
    """True if an answer may be another one in a moment; 410 says that what was asked for is too old by now."""
    return status in _WAITED_FOR and not (status == 500 and _NEVER_HOLDS in body)


def fault(status: int, body: bytes, *, what: str, namespace: str) -> PhasegateError:
    """The error that an answer stands for.

    Args:
        status: The HTTP status, 400 or more.
        body: The answer; an API server's is a `Status`.
        what: What was being done, e.g. `apply Deployment/shop`.
        namespace: Where.
    """
    report = _status(body)
    message = str(report.get("message") or body[:500].decode(errors="replace") or _phrase(status))
    details = table(report.get("details"))
    text = f"{what[:1].upper()}{what[1:]} in namespace {namespace}: {message}"
    if is_passing(status, body):
        return TargetUnavailable(text, reason="unavailable", status=status)
    if status == 409:
        fields = _owned_fields(details, what.rpartition(" ")[2])
        return FieldConflict(fields) if fields else StaleWrite(text, reason="stale", status=status)
    if status == 404 and details.get("kind") == "namespaces":
        return TargetRefused(
            text,
            remedy=f"Make it (`kubectl create namespace {namespace}`), or correct deploy.namespace in phasegate.toml.",
            reason="namespace",
            status=status,
        )
    if status == 403 and "exceeded quota" in message:
        return TargetRefused(text, remedy="Raise the quota, or free what it counts; then go on.", reason="quota")
    if status in {401, 403}:
        return TargetRefused(
            text,
            remedy="Give the account phasegate runs as this right; infra/kubernetes/rbac.yaml names all it needs.",
            reason="forbidden",
            status=status,
        )
    return DeployFailed(text, remedy="Correct the manifest.", reason="invalid", status=status)


def _status(body: bytes) -> dict[str, Any]:
    return json_table_or_empty(body, "the answer of the cluster")


def _owned_fields(details: dict[str, Any], what: str) -> tuple[OwnedField, ...]:
    """The fields of a server-side apply's conflict; none for a conflict of versions."""
    return tuple(
        OwnedField(what, str(cause.get("field", "")), _owner(str(cause.get("message", ""))))
        for cause in tables(details.get("causes"))
        if cause.get("reason") == "FieldManagerConflict"
    )


def _owner(message: str) -> str:
    """`kubectl` from `conflict with "kubectl" using apps/v1 at 2026-…`."""
    parts = message.split('"')
    return parts[1] if len(parts) > 2 else message


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
