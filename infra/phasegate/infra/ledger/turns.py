"""Turns of an agent, written once their tools have answered; its conversation is put together from them.

Written by the agent loop at the end of every turn, and read when an attempt resumes or its conversation is rewound.
What the model said is in the turn's exchange already and is not kept a second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.records import Attempt
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.packing import pack, unpack
from phasegate.infra.ledger.storage.store import Store


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """Concluded turn.

    Attributes:
        number: Its number in the attempt.
        reply: What the model said, as the turn's exchange has it.
        left: What came of it, as the loop wrote it.
    """

    number: int
    reply: dict[str, Any]
    left: dict[str, Any]


class Turns:
    """The `turns` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def conclude(
        self, attempt: Attempt, number: int, left: Mapping[str, Any], *, results: Sequence[Mapping[str, Any]]
    ) -> None:
        """Store what a turn left behind.

        Args:
            attempt: Whose turn.
            number: The turn's number; its exchange is there.
            left: All that the loop needs to continue from here.
            results: What the tools answered, in short, for people who watch.

        Effects:
            A row keyed by attempt and turn, with the event `tools.answered`. They are not waited for to be on disk:
            the next turn's exchange is, and what is on disk is always a beginning of the chain.
        """
        payload = payloads.ToolsAnswered(attempt=attempt.id, turn=number, results=results)
        with self._store.change(
            attempt.run_id, EventKind.TOOLS_ANSWERED, actor="engine", payload=payload, synced=False
        ) as change:
            entry = pack(canonical_json(left))
            change.insert(schema.turns, id=f"{attempt.id}/{number}", run_id=attempt.run_id, entry=entry)

    def list(self, attempt_id: str, *, after: int = 0) -> list[TurnRecord]:
        """An attempt's concluded turns behind a number, in their order."""
        exchange, turn = schema.exchanges.c, schema.turns.c
        query = (
            select(exchange.turn, exchange.reply, turn.entry)
            .join(schema.turns, turn.id == exchange.id)
            .where(exchange.attempt_id == attempt_id, exchange.turn > after)
            .order_by(exchange.turn)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [TurnRecord(number, reply, json.loads(unpack(entry))) for number, reply, entry in rows]
