"""Model calls as they were made: what was sent, what came back, and what it cost.

A request repeats nearly all of the one before it, so an exchange keeps only what comes after the bytes the two share,
and of that what `turns` has not: storage grows with the conversation, not with its square.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, bindparam, func, select, type_coerce

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.records import Attempt, Exchange, Usage
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.compiled import CompiledStatement
from phasegate.infra.ledger.storage.deltas import DeltaEncoder
from phasegate.infra.ledger.storage.packing import pack, requests, shared_context, unpack
from phasegate.infra.ledger.storage.store import Store

_exchange, _turn, _attempt, _run = schema.exchanges.c, schema.turns.c, schema.attempts.c, schema.runs.c
_reply = type_coerce(_exchange.reply, Text)
"""A reply as it is stored."""

_TURN_BEFORE = CompiledStatement(
    select(_reply, _turn.entry)
    .join(schema.turns, _turn.id == _exchange.id, isouter=True)
    .where(_exchange.id == bindparam("exchange"))
)
_ADDED_UP = select(
    func.count().label("turns"),
    func.coalesce(func.sum(_exchange.input_tokens), 0).label("input_tokens"),
    func.coalesce(func.sum(_exchange.cached_input_tokens), 0).label("cached_input_tokens"),
    func.coalesce(func.sum(_exchange.output_tokens), 0).label("output_tokens"),
    func.coalesce(func.sum(_exchange.cost_usd), 0.0).label("cost_usd"),
    (func.count() - func.count(_exchange.cost_usd)).label("unpriced"),
)
_ALL_OF_RUN = _ADDED_UP.where(_exchange.run_id == bindparam("run"))
_OF_RUN = CompiledStatement(_ALL_OF_RUN)
_OF_ATTEMPT = CompiledStatement(_ALL_OF_RUN.where(_exchange.attempt_id == bindparam("attempt")))
_OF_STAGE = CompiledStatement(
    _ALL_OF_RUN.where(
        _exchange.attempt_id.in_(
            select(_attempt.id).where(_attempt.run_id == bindparam("run"), _attempt.stage == bindparam("stage"))
        )
    )
)
_OF_REPOSITORY_SINCE = (
    _exchange.run_id.in_(
        select(_run.id).where(
            _run.repository == select(_run.repository).where(_run.id == bindparam("run")).scalar_subquery()
        )
    ),
    _exchange.at >= bindparam("moment", type_=schema.Instant),
)
_SINCE = CompiledStatement(_ADDED_UP.where(*_OF_REPOSITORY_SINCE))
_RUNS_SINCE = CompiledStatement(select(_exchange.run_id).where(*_OF_REPOSITORY_SINCE).distinct())


class Exchanges:
    """The `exchanges` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store
        self._sent = DeltaEncoder()

    def record(
        self,
        attempt: Attempt,
        turn: int,
        *,
        model: str,
        request: bytes,
        previous: bytes,
        reply: dict[str, Any],
        response: str,
        usage: Usage,
        cost_usd: float | None,
        latency_seconds: float,
    ) -> Exchange:
        """Store one finished model call.

        Args:
            attempt: Whose call.
            turn: Its number in the attempt, from 1.
            model: `provider:model`.
            request: The request's body as sent.
            previous: The body of the turn before, as `request` gives it; empty for the first.
            reply: The reply as a message of the conversation.
            response: The reply as received.
            usage: Its tokens.
            cost_usd: Its price in US dollars; None when the model's price is unknown.
            latency_seconds: From sending to the last byte.
        """
        part = self._sent.encode(attempt.id, request, previous)
        exchange_id, reply_text, at = f"{attempt.id}/{turn}", canonical_json(reply), self._store.clock.now()
        calls = [{"name": call["name"], "args": call["args"]} for call in reply.get("calls", [])]
        payload = payloads.TurnAnswered(
            attempt=attempt.id, turn=turn, text=reply.get("text", ""), calls=calls, model=model
        )
        if stop := reply.get("stop"):
            payload["stop"] = f"{stop['kind']}: {stop['word']}"
        with self._store.change(attempt.run_id, EventKind.TURN_ANSWERED, actor=model, payload=payload) as change:
            before = _TURN_BEFORE.execute(change.direct, exchange=f"{attempt.id}/{turn - 1}")
            context = shared_context(*before[0]) if before else ""
            change.insert(
                schema.exchanges,
                id=exchange_id,
                run_id=attempt.run_id,
                attempt_id=attempt.id,
                turn=turn,
                model=model,
                request_digest=part.digest,
                request_shared=part.shared,
                request_rest=pack(part.rest, context),
                reply=reply,
                response=pack(response, reply_text),
                input_tokens=usage.input_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=cost_usd,
                latency_seconds=latency_seconds,
                at=at,
                packed=1,
            )
        return Exchange(
            id=exchange_id,
            run_id=attempt.run_id,
            attempt_id=attempt.id,
            turn=turn,
            model=model,
            request_digest=part.digest,
            reply=json.loads(reply_text),  # spelled as it is read back: so the next request is, then too
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=cost_usd,
            latency_seconds=latency_seconds,
            at=at,
        )

    def find(self, attempt_id: str, turn: int) -> Exchange | None:
        """The exchange of this turn, if the model has answered it."""
        table = schema.exchanges.c
        query = select(schema.exchanges).where(table.attempt_id == attempt_id, table.turn == turn)
        with self._store.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Exchange.model_validate(dict(row))

    def list(self, run_id: str) -> list[Exchange]:
        """A run's exchanges in the order they were made."""
        query = select(schema.exchanges).where(schema.exchanges.c.run_id == run_id).order_by(schema.exchanges.c.at)
        with self._store.reading() as connection:
            return [Exchange.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def request(self, attempt_id: str, turn: int) -> str | None:
        """The request of this turn as it was sent, or `None` if there is none."""
        query = (
            select(_exchange.id, _exchange.attempt_id, _exchange.turn, _exchange.request_shared, _exchange.packed)
            .add_columns(_exchange.request_rest, _reply.label("reply"), _turn.entry)
            .join(schema.turns, _turn.id == _exchange.id, isouter=True)
            .where(_exchange.attempt_id == attempt_id, _exchange.turn <= turn)
            .order_by(_exchange.turn)
        )
        with self._store.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        if not rows or rows[-1]["turn"] != turn:
            return None
        *_, body = requests(rows, {row["id"]: row["entry"] for row in rows if row["entry"] is not None})
        return body

    def response(self, attempt_id: str, turn: int) -> str | None:
        """The response of this turn as it was received, or `None` if there is none."""
        query = select(_exchange.response, _exchange.packed, _reply.label("reply"))
        query = query.where(_exchange.attempt_id == attempt_id, _exchange.turn == turn)
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return unpack(row.response, row.reply) if row.packed else str(row.response)

    def usage(self, run_id: str, *, attempt_id: str | None = None, stage: str = "") -> Usage:
        """Total usage of the model calls of a run, of one of its stages or of one attempt."""
        if attempt_id is not None:
            return self._added_up(_OF_ATTEMPT, run=run_id, attempt=attempt_id)
        if stage:
            return self._added_up(_OF_STAGE, run=run_id, stage=stage)
        return self._added_up(_OF_RUN, run=run_id)

    def usage_since(self, run_id: str, moment: datetime) -> Usage:
        """Total usage of the model calls since a moment, of all runs in the repository of this one."""
        return self._added_up(_SINCE, run=run_id, moment=moment)

    def runs_since(self, run_id: str, moment: datetime) -> Sequence[str]:
        """The runs in the repository of this one whose model calls were answered since a moment."""
        return [run for (run,) in self._store.ask(_RUNS_SINCE, run=run_id, moment=moment)]

    def _added_up(self, query: CompiledStatement, **which: Any) -> Usage:
        ((turns, sent, cached, answered, cost, unpriced),) = self._store.ask(query, **which)
        return Usage(
            turns=turns,
            input_tokens=sent,
            cached_input_tokens=cached,
            output_tokens=answered,
            cost_usd=cost,
            unpriced=unpriced,
        )
