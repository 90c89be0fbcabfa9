"""What agents and people said: model exchanges as sent, and messages to running agents.

A request repeats nearly all of the one before it, so an exchange keeps only what comes after the bytes the two share:
storage grows with the conversation, not with its square.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import NotAllowed, NotFound
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.records import ENDED, Attempt, Exchange, Message, Usage
from phasegate.infra.ledger.store import Change, Store, new_id


def _common_prefix_length(one: str, other: str) -> int:
    """How many leading characters two texts share, by halving: a thread's requests are long and nearly equal."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Exchanges:
    """The `exchanges` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

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
        body = request.decode()
        shared = _common_prefix_length(previous.decode(), body)
        exchange_id, digest, at = f"{attempt.id}/{turn}", sha256(request), self._store.clock.now()
        calls = [{"name": call["name"], "args": call["args"]} for call in reply.get("calls", [])]
        payload = {"attempt": attempt.id, "turn": turn, "text": reply.get("text", ""), "calls": calls, "model": model}
        with self._store.change(attempt.run_id, "turn.answered", actor=model, payload=payload) as change:
            change.insert(
                schema.exchanges,
                id=exchange_id,
                run_id=attempt.run_id,
                attempt_id=attempt.id,
                turn=turn,
                model=model,
                request_digest=digest,
                request_shared=shared,
                request_rest=body[shared:],
                reply=reply,
                response=response,
                input_tokens=usage.input_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=cost_usd,
                latency_seconds=latency_seconds,
                at=at,
            )
        return Exchange(
            id=exchange_id,
            run_id=attempt.run_id,
            attempt_id=attempt.id,
            turn=turn,
            model=model,
            request_digest=digest,
            reply=json.loads(canonical_json(reply)),  # spelled as it is read back: so the next request is, then too
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
        """The request of this turn as it was sent; None when there is none."""
        table = schema.exchanges.c
        query = (
            select(table.turn, table.request_shared, table.request_rest)
            .where(table.attempt_id == attempt_id, table.turn <= turn)
            .order_by(table.turn)
        )
        body: str | None = None
        with self._store.reading() as connection:
            for row in connection.execute(query):
                body = (body or "")[: row.request_shared] + row.request_rest
                if row.turn == turn:
                    return body
        return None

    def response(self, attempt_id: str, turn: int) -> str | None:
        """The response of this turn as it was received; None when there is none."""
        table = schema.exchanges.c
        query = select(table.response).where(table.attempt_id == attempt_id, table.turn == turn)
        with self._store.reading() as connection:
            return connection.execute(query).scalar()

    def usage(self, run_id: str, *, attempt_id: str | None = None, stage: str = "") -> Usage:
        """What the model calls of a run, of one of its stages or of one attempt, added up to."""
        table = schema.exchanges.c
        calls = table.run_id == run_id
        if attempt_id is not None:
            calls &= table.attempt_id == attempt_id
        if stage:
            attempt = schema.attempts.c
            calls &= table.attempt_id.in_(select(attempt.id).where(attempt.run_id == run_id, attempt.stage == stage))
        return self._added_up(calls)

    def usage_since(self, run_id: str, moment: datetime) -> Usage:
        """What the model calls since a moment added up to, of all runs in the repository of this one."""
        run, table = schema.runs.c, schema.exchanges.c
        repository = select(run.repository).where(run.id == run_id).scalar_subquery()
        runs = select(run.id).where(run.repository == repository)
        return self._added_up(table.run_id.in_(runs) & (table.at >= moment))

    def _added_up(self, calls: ColumnElement[bool]) -> Usage:
        table = schema.exchanges.c
        query = select(
            func.count().label("turns"),
            func.coalesce(func.sum(table.input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(table.cached_input_tokens), 0).label("cached_input_tokens"),
            func.coalesce(func.sum(table.output_tokens), 0).label("output_tokens"),
            func.coalesce(func.sum(table.cost_usd), 0.0).label("cost_usd"),
            (func.count() - func.count(table.cost_usd)).label("unpriced"),
        ).where(calls)
        with self._store.reading() as connection:
            return Usage.model_validate(dict(connection.execute(query).mappings().one()))


class Messages:
    """The `messages` section of the ledger: what people say to a running agent."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store
        self._originals: dict[str, str | None] = {}

    def queue(self, run_id: str, text: str, *, sender: str, urgent: bool = False) -> Message:
        """Make a message durable; the agent it is for reads it before its next model call.

        It is for the agent at work, whichever attempt of its stage that is in the end; of two side by side for the one
        that works on the stage itself and not on a part of it. While none is at work, it is for the next that begins.

        Args:
            run_id: The run.
            text: What to tell its agent.
            sender: Who says so.
            urgent: Whether what the agent is in the middle of is to be dropped for it.

        Raises:
            NotAllowed: Nobody will read it: the run has ended, or repeats an earlier one.
        """
        message_id = new_id("message")
        payload: dict[str, Any] = {"message": message_id, "text": text, "urgent": urgent}
        with self._store.change(run_id, "message.queued", actor=sender, payload=payload) as change:
            _require_reader(change, run_id)
            if (reader := _at_work(change, run_id)) is not None:
                payload["attempt"] = reader
            change.insert(
                schema.messages,
                id=message_id,
                run_id=run_id,
                sender=sender,
                text=text,
                status="queued",
                attempt_id=reader,
                urgent=int(urgent),
                queued_at=self._store.clock.now(),
            )
        return next(message for message in self.list(run_id) if message.id == message_id)

    def deliver(self, attempt: Attempt, turn: int) -> list[Message]:
        """Hand over what is queued for a turn, once: the same turn asked again gets the same messages (P11).

        A rehearsal is handed what its original was handed at that turn, and nothing that is queued now.
        """
        if (original := self._original(attempt.run_id)) is not None:
            recorded = f"{original}{attempt.id.removeprefix(attempt.run_id)}"
            return self._delivered(original, recorded, turn)
        if self._is_waiting(attempt):
            self._deliver(attempt, turn)
        return self._delivered(attempt.run_id, attempt.id, turn)

    def delivered(self, attempt: Attempt, turn: int) -> list[Message]:
        """What was handed over for a turn that has been answered; nothing is added to it any more."""
        run_id = self._original(attempt.run_id) or attempt.run_id
        return self._delivered(run_id, f"{run_id}{attempt.id.removeprefix(attempt.run_id)}", turn)

    def calls_now(self, attempt: Attempt) -> bool:
        """Whether a message waits that is to interrupt the agent at work on this attempt."""
        return self._is_waiting(attempt, urgent=True) and self._original(attempt.run_id) is None

    def _is_waiting(self, attempt: Attempt, *, urgent: bool = False) -> bool:
        table = schema.messages.c
        query = select(table.id).where(_queued_for(attempt)).limit(1)
        if urgent:
            query = query.where(table.urgent == 1)
        with self._store.reading() as connection:
            return connection.execute(query).first() is not None

    def _delivered(self, run_id: str, attempt_id: str, turn: int) -> list[Message]:
        table = schema.messages.c
        query = (
            select(schema.messages)
            .where(table.run_id == run_id, table.attempt_id == attempt_id, table.turn == turn)
            .order_by(table.queued_at)
        )
        with self._store.reading() as connection:
            return [Message.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def _deliver(self, attempt: Attempt, turn: int) -> None:
        payload: dict[str, Any] = {"attempt": attempt.id, "turn": turn}
        table = schema.messages.c
        query = select(table.id).where(_queued_for(attempt)).order_by(table.queued_at)
        with self._store.change(attempt.run_id, "message.delivered", actor="engine", payload=payload) as change:
            payload["messages"] = list(change.connection.execute(query).scalars())
            if not payload["messages"]:  # expired with the run's end, or delivered, since they were seen
                change.call_off()
            for message_id in payload["messages"]:
                change.update(
                    schema.messages,
                    message_id,
                    status="delivered",
                    attempt_id=attempt.id,
                    turn=turn,
                    delivered_at=self._store.clock.now(),
                )

    def _original(self, run_id: str) -> str | None:
        """The run that this one rehearses, if it is a rehearsal."""
        if run_id not in self._originals:  # asked at every turn, and never another
            with self._store.reading() as connection:
                origin = connection.execute(select(schema.runs.c.origin).where(schema.runs.c.id == run_id)).scalar()
            self._originals[run_id] = str(origin["run"]) if origin and origin["mode"] == "rehearse" else None
        return self._originals[run_id]

    def list(self, run_id: str) -> list[Message]:
        """A run's messages in the order they were queued."""
        query = select(schema.messages).where(schema.messages.c.run_id == run_id).order_by(schema.messages.c.queued_at)
        with self._store.reading() as connection:
            return [Message.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def expire_unread(change: Change, attempt: Attempt) -> list[str]:
    """Expire, within a change, what was queued for an agent that has finished; the messages' ids."""
    table = schema.messages.c
    query = select(table.id).where(_queued_for(attempt), table.attempt_id.is_not(None)).order_by(table.queued_at)
    unread = [str(message_id) for message_id in change.connection.execute(query).scalars()]
    for message_id in unread:
        change.update(schema.messages, message_id, status="expired")
    return unread


def _queued_for(attempt: Attempt) -> ColumnElement[bool]:
    """The messages that an attempt's agent is to read: those for its stage, whichever the attempt, and for anybody."""
    table = schema.messages.c
    stage = attempt.id.rpartition("/")[0]
    is_reader = or_(table.attempt_id.is_(None), table.attempt_id.startswith(f"{stage}/", autoescape=True))
    return (table.run_id == attempt.run_id) & (table.status == "queued") & is_reader


def _require_reader(change: Change, run_id: str) -> None:
    run = change.one(schema.runs, run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
    if run["status"] in ENDED:
        raise NotAllowed(f"run {run_id} is {run['status']}: no agent of it will read a message any more")
    if run["origin"] is not None and run["origin"]["mode"] == "rehearse":
        raise NotAllowed(f"run {run_id} is a rehearsal: its agents are told what they were told then, and nothing else")


def _at_work(change: Change, run_id: str) -> str | None:
    """The attempt whose agent is at work, also where that waits for a person; None: there is none."""
    table = schema.attempts.c
    query = (
        select(table.id)
        .where(table.run_id == run_id, table.status == "running", table.superseded == 0, table.model != "")
        .order_by(table.part, table.started_at.desc())
    )
    found = change.connection.execute(query).scalars().first()
    return None if found is None else str(found)
