"""Artifacts in the ledger: content by digest, shared by all runs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select

from phasegate.infra.artifacts import Artifact, sha256
from phasegate.infra.errors import FormatUnknown, NotFound, TrailBroken
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork

A = TypeVar("A", bound=Artifact)


def put(change: UnitOfWork, artifact: Artifact, now: datetime) -> None:
    """Store an artifact within a change, once per digest."""
    change.insert_once(schema.artifacts, id=artifact.digest, content=artifact.canonical(), created_at=now)


class Artifacts:
    """The `artifacts` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def prepare(self, run_id: str, gate: str, artifact: Artifact) -> None:
        """Store what a gate of a run is going to ask about, where no attempt has made it.

        Effects: one `gate.prepared` event with the artifact.
        """
        payload = payloads.GatePrepared(gate=gate, artifact=artifact.digest)
        with self._store.change(run_id, EventKind.GATE_PREPARED, actor="engine", payload=payload) as change:
            put(change, artifact, self._store.clock.now())

    def text(self, digest: str) -> str:
        """The canonical JSON text with this digest.

        Raises:
            NotFound: There is none.
            TrailBroken: Its content does not have this digest: somebody altered it.
        """
        query = select(schema.artifacts.c.content).where(schema.artifacts.c.id == digest)
        with self._store.reading() as connection:
            content = connection.execute(query).scalar()
        if content is None:
            raise NotFound(f"there is no artifact {digest}")
        if sha256(content) != digest:
            raise TrailBroken(f"artifact {digest} was altered", remedy="Compare with a copy of the ledger.")
        return str(content)

    def json(self, digest: str) -> dict[str, Any]:
        """The artifact as JSON, its kind included."""
        value: dict[str, Any] = json.loads(self.text(digest))
        return value

    def get(self, digest: str, artifact_type: type[A]) -> A:
        """The artifact with this digest, as its type.

        Raises:
            NotFound: There is none.
            FormatUnknown: It is stored in a format that its type does not know, or is of another type (P8).
        """
        try:
            return artifact_type.from_canonical(self.text(digest))
        except ValueError as error:
            raise FormatUnknown(
                f"{artifact_type.kind} {digest} is stored in a format this phasegate does not know", artifact=digest
            ) from error
