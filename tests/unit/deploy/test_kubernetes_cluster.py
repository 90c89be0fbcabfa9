"""Requests that are retried while an API server is away, and for how long; the client here answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from phasegate.infra.deploy.kubernetes.api.client import Cluster
from phasegate.infra.deploy.kubernetes.api.manifests import Ref
from phasegate.infra.errors import TargetUnavailable

REF = Ref("v1", "Service", "shop")
KINDS = b'{"resources": [{"name": "services", "kind": "Service", "namespaced": true}]}'


class BrokenConnection(Exception):
    """The official client's error for a TLS connection that ends too early."""


@dataclass
class Answer:
    """An answer of the official client's."""

    status: int
    body: bytes = b"{}"

    def read(self) -> bytes:
        return self.body


@dataclass
class Client:
    """The official client, with its answers told beforehand."""

    answers: Iterator[Answer | Exception]

    def param_serialize(self, verb: str, path: str, **_: Any) -> tuple[str, str, dict[str, str], None, list[str]]:
        return verb, path, {}, None, []

    def call_api(self, *_: Any, **__: Any) -> Answer:
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def cluster(*answers: Answer | Exception, patience: float = 10) -> Cluster:
    told = iter((Answer(200, KINDS), *answers))
    return Cluster(Client(told), BrokenConnection, "web", patience=timedelta(seconds=patience))


ABSENCES: dict[str, Answer | Exception] = {
    "nobody listens": urllib3.exceptions.ProtocolError("refused"),
    "the connection breaks": BrokenConnection("SSLError"),
    "it was restarted": ConnectionResetError(),
    "too old": Answer(410),
    "too many": Answer(429),
    "not ready": Answer(503),
}


@pytest.mark.parametrize("name", ABSENCES)
async def test_an_absence_is_waited_for_and_told(name: str):
    """Mutation tried: `_ask` does not know `no_answer`; a broken TLS connection is then an error of phasegate's own."""
    asked = cluster(ABSENCES[name], Answer(200, b'{"kind": "Service"}'))
    assert await asked.get(REF) == {"kind": "Service"}
    assert len(asked.absences) == 1


async def test_patience_ends():
    asked = cluster(*[Answer(503)] * 3, patience=0.3)
    with pytest.raises(TargetUnavailable, match=r"has not let phasegate read Service/shop for .* it answered 503"):
        await asked.get(REF)


async def test_what_is_not_there_is_no_absence():
    asked = cluster(Answer(404))
    assert await asked.get(REF) is None
    assert asked.absences == []
