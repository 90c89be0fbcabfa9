"""The chain of a run's events: it alone attests the run, its gates and their decisions (P4, P5).

Used by `gates` each time a decision is made or read, by `runs` and by the audit. Like the audit it trusts no
row; unlike it, it looks at one gate's part of the chain only, so that asking is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Table, func, select

from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import GENESIS, digest_of_row, event_hash, row_digest
from phasegate.infra.ledger.trail_rows import Rows

_GOES_ON: Mapping[str, Any] = {
    "status": "accepted",
    "request": "",
    "reason": None,
    "wake_at": None,
    "flow_run_id": None,
    "recoveries": 0,
    "grants": 0,
    "finished_at": None,
}
"""Columns of a run that later events change, with their values when the run was accepted."""


@dataclass(frozen=True)
class Link:
    """Event of the chain: its position, kind, actor and time, and in its payload the digests of the rows it touched."""

    position: int
    kind: str
    actor: str
    at: datetime
    payload: Mapping[str, Any]
    hash: str

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self | None:
        """The event that a row holds, or `None` if its content does not have its hash."""
        facts = (row["position"], row["at"], row["kind"], row["actor"], row["payload"])
        if row["hash"] != event_hash(row["previous"], row["run_id"], *facts):
            return None
        at, payload = datetime.fromisoformat(row["at"]), read_stored_json(row["payload"])
        return cls(row["position"], row["kind"], row["actor"], at, payload, row["hash"])

    def digest_of(self, table: Table, row_id: str) -> str | None:
        """The digest this event gives for a row, or `None` if it did not touch the row."""
        digest: str | None = self.payload["rows"].get(f"{table.name}/{row_id}")
        return digest


def is_as_accepted(rows: Rows, run_id: str) -> bool:
    """True if a run's row, later changes aside, is the one its first event attests; later events do not count."""
    run, first = rows.find("runs", run_id), rows.find("events", f"{run_id}/1")
    if run is None or first is None:
        return False
    computed = event_hash(GENESIS, run_id, 1, first["at"], first["kind"], first["actor"], first["payload"])
    digest = read_stored_json(first["payload"])["rows"].get(f"runs/{run_id}")
    return bool(computed == first["hash"]) and digest_of_row("runs", {**run, **_GOES_ON}) == digest


@dataclass(frozen=True)
class Chain:
    """A run's events from the opening of one gate to the head.

    Attributes:
        links: In order; empty when no event opened the gate, or when the events do not follow from each other.
        latest_before: The latest time of an event before these; `None` if there is none.
    """

    links: tuple[Link, ...]
    latest_before: datetime | None = None

    @classmethod
    def since_opening(cls, connection: Connection, run_id: str, gate_id: str) -> Self:
        """Read and recompute the part of a run's chain that a gate's decisions can be in."""
        table = schema.events
        opening = select(func.min(table.c.position)).where(
            table.c.run_id == run_id,
            table.c.kind == EventKind.GATE_OPENED,
            table.c.payload.contains(f'"gates/{gate_id}"', autoescape=True),
        )
        start = connection.execute(opening).scalar()
        if start is None:
            return cls(())
        query = select(table).where(table.c.run_id == run_id, table.c.position >= start - 1).order_by(table.c.position)
        rows = list(connection.execute(query).mappings())
        previous = rows.pop(0)["hash"] if start > 1 and rows and rows[0]["position"] == start - 1 else GENESIS
        links: list[Link] = []
        for position, row in enumerate(rows, start=start):
            link = Link.of(row)
            if link is None or row["position"] != position or row["previous"] != previous:
                return cls(())
            links.append(link)
            previous = link.hash
        before = select(func.max(table.c.at)).where(table.c.run_id == run_id, table.c.position < start)
        latest = connection.execute(before).scalar()
        return cls(tuple(links), datetime.fromisoformat(latest) if latest else None)

    def time_of(self, link: Link) -> datetime:
        """Time of an event, or of an earlier one that says a later time: time only goes forward here."""
        before = [earlier.at for earlier in self.links if earlier.position < link.position]
        return max([*before, link.at, *([self.latest_before] if self.latest_before else [])])

    def opened_at(self, gate_id: str) -> datetime:
        """Time of the event that opened a gate."""
        return next(link.at for link in self.links if link.digest_of(schema.gates, gate_id) is not None)

    def attesting(self, connection: Connection, table: Table, row_id: str) -> Link | None:
        """The event that vouches for a row as it stands, or `None` if no event made it so."""
        links = [link for link in self.links if link.digest_of(table, row_id) is not None]
        if not links or links[-1].digest_of(table, row_id) != row_digest(connection, table, row_id):
            return None
        return links[-1]

    def was_open(self, gate_id: str, expires_at: datetime, at: Link) -> bool:
        """True if a gate was open and not expired when an event happened.

        Time only goes forward here: a clock that was moved back is not believed.
        """
        before = [link for link in self.links if link.position < at.position]
        touched = [link for link in before if link.digest_of(schema.gates, gate_id) is not None]
        is_open = len(touched) == 1 and touched[0].kind == EventKind.GATE_OPENED
        return is_open and self.time_of(at) < expires_at
