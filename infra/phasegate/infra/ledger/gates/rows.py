"""Gates and decisions as they are stored: reading only. What they amount to is for `gates` to say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import NotFound
from phasegate.infra.ledger.chain import Chain
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.records import Decision, Gate
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork


class GateRows:
    """The rows of gates and decisions."""

    def __init__(self, store: Store) -> None:
        """Read from a store."""
        self._store = store

    def get(self, gate_id: str) -> Gate:
        """The gate with this id.

        Raises:
            NotFound: There is none.
        """
        with self._store.reading() as connection:
            row = connection.execute(select(schema.gates).where(schema.gates.c.id == gate_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no gate {gate_id}")
        return Gate.model_validate(dict(row))

    def is_attested(self, gate: Gate) -> bool:
        """True if the run's hash chain has the gate's row as it is stored."""
        with self._store.reading() as connection:
            return is_attested(connection, gate)

    def list(self, run_id: str) -> list[Gate]:
        """A run's gates in the order they were opened."""
        query = select(schema.gates).where(schema.gates.c.run_id == run_id).order_by(schema.gates.c.opened_at)
        with self._store.reading() as connection:
            return [Gate.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def replayed_by(self, run_id: str) -> str:
        """The run that a run replays, or an empty string if it replays none."""
        query = select(schema.runs.c.origin).where(schema.runs.c.id == run_id)
        with self._store.reading() as connection:
            origin: dict[str, str] | None = connection.execute(query).scalar()
        return origin["run"] if origin is not None and origin["mode"] == "replay" else ""

    def waiting(self, run_id: str) -> Sequence[Gate]:
        """A run's gates that wait for a decision."""
        return [gate for gate in self.list(run_id) if gate.status == "open"]

    def stale_reason(self, gate: Gate) -> str:
        """Reason for which a round was marked stale, as its event has it, or an empty string if it was not."""
        table = schema.events.c
        query = select(table.payload).where(
            table.run_id == gate.run_id,
            table.kind == EventKind.GATE_OUTDATED,
            table.payload.contains(f'"gates/{gate.id}"', autoescape=True),
        )
        with self._store.reading() as connection:
            payload = connection.execute(query).scalar()
        return "" if payload is None else str(read_stored_json(payload)["why"])

    def decisions(self, run_id: str) -> Sequence[Decision]:
        """A run's decisions in the order they were made."""
        query = (
            select(schema.decisions).where(schema.decisions.c.run_id == run_id).order_by(schema.decisions.c.decided_at)
        )
        with self._store.reading() as connection:
            return [Decision.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def has_expired(self, gate: Gate) -> bool:
        """True if a gate's time is over; a clock that was moved back does not give it more."""
        return gate.expires_at <= self.now_in(gate.run_id)

    def now_in(self, run_id: str) -> datetime:
        """The clock's time, or the run's latest event's, whichever is later."""
        latest = select(func.max(schema.events.c.at)).where(schema.events.c.run_id == run_id)
        with self._store.reading() as connection:
            at = connection.execute(latest).scalar()
        now = self._store.clock.now()
        return now if at is None else max(now, datetime.fromisoformat(at))


def gate_in(change: UnitOfWork, gate_id: str) -> Gate:
    """The gate with this id, as a change sees it.

    Raises:
        NotFound: There is none.
    """
    row = change.row(schema.gates, gate_id)
    if row is None:
        raise NotFound(f"there is no gate {gate_id}")
    return Gate.model_validate(dict(row))


def decisions_in(change: UnitOfWork, gate_id: str) -> list[Decision]:
    """The decisions on a gate, as a change sees them."""
    query = select(schema.decisions).where(schema.decisions.c.gate_id == gate_id)
    return [Decision.model_validate(dict(row)) for row in change.connection.execute(query).mappings()]


def is_attested(connection: Connection, gate: Gate) -> bool:
    """True if the run's hash chain has the gate's row as it is stored."""
    chain = Chain.since_opening(connection, gate.run_id, gate.id)
    return chain.attesting(connection, schema.gates, gate.id) is not None
