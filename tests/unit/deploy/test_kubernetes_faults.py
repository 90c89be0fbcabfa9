"""Consequences of an API server's refusals: wait, ask, or roll back."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from phasegate.infra.deploy.kubernetes.api.errors import FieldConflict, OwnedField, StaleWrite, fault, is_passing
from phasegate.infra.errors import DeployFailed, PhasegateError, TargetRefused, TargetUnavailable


def status(code: int, message: str = "", **details: Any) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "message": message, "details": details}).encode()


CONFLICT = {
    "reason": "FieldManagerConflict",
    "message": 'conflict with "kubectl-edit" using apps/v1 at 2026-11-23T01:00:00Z',
    "field": ".spec.replicas",
}


@dataclass(frozen=True)
class Case:
    """An answer, and the error it stands for."""

    name: str
    code: int
    body: bytes
    error: type[PhasegateError]
    reason: str


CASES = [
    Case("too many requests", 429, b"", TargetUnavailable, "unavailable"),
    Case("what was listed is gone", 410, status(410, "too old resource version"), TargetUnavailable, "unavailable"),
    Case("a proxy's error page", 502, b"<html>bad gateway</html>", TargetUnavailable, "unavailable"),
    Case("an error of the server's", 500, status(500, "etcdserver: leader changed"), TargetUnavailable, "unavailable"),
    Case("an old server's way", 500, status(500, "failed to create typed patch object: x"), DeployFailed, "invalid"),
    Case("no token", 401, status(401, "Unauthorized"), TargetRefused, "forbidden"),
    Case("no right", 403, status(403, "cannot patch resource"), TargetRefused, "forbidden"),
    Case("a quota", 403, status(403, "exceeded quota: x, used: 1, limited: 1"), TargetRefused, "quota"),
    Case("no namespace", 404, status(404, "not found", kind="namespaces"), TargetRefused, "namespace"),
    Case("no such kind", 404, b"404 page not found", DeployFailed, "invalid"),
    Case("somebody owns it", 409, status(409, "conflict", causes=[CONFLICT]), FieldConflict, "conflict"),
    Case("somebody wrote first", 409, status(409, "the object has been modified"), StaleWrite, "stale"),
    Case("it does not hold", 422, status(422, "spec.replicas: Invalid value"), DeployFailed, "invalid"),
    Case("it cannot be read", 400, status(400, "cannot unmarshal"), DeployFailed, "invalid"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_answer_has_its_end(case: Case):
    found = fault(case.code, case.body, what="apply Deployment/shop", namespace="web")
    assert (type(found), found.context["reason"]) == (case.error, case.reason)
    assert isinstance(found, TargetUnavailable) or found.remedy
    assert is_passing(case.code, case.body) == (case.reason == "unavailable")


def test_a_conflict_names_each_field_and_its_owner_and_survives_pickling():
    found = fault(409, status(409, "", causes=[CONFLICT]), what="apply Deployment/shop", namespace="web")
    assert isinstance(found, FieldConflict)
    assert found.fields == (OwnedField("Deployment/shop", ".spec.replicas", "kubectl-edit"),)
    again = pickle.loads(pickle.dumps(found))
    assert (again.fields, again.message, again.remedy) == (found.fields, found.message, found.remedy)
