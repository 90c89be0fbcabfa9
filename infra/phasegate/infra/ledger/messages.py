"""Messages of people to a running agent: queued, and delivered to one of its turns, once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select

from phasegate.infra.errors import NotAllowed, NotFound
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.command_checks import Commands
from phasegate.infra.ledger.gates.commands import CommandRequest, refusal
from phasegate.infra.ledger.records import ENDED, Attempt, Message, rehearsed_run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.compiled import CompiledStatement
from phasegate.infra.ledger.storage.store import Store, UnitOfWork, new_id

_message = schema.messages.c

_QUEUED = and_(
    _message.run_id == bindparam("run"),
    _message.status == "queued",
    or_(
        _message.attempt_id.is_(None),
        func.substr(_message.attempt_id, 1, func.length(bindparam("stage"))) == bindparam("stage"),
    ),
)
"""Messages that an attempt's agent must read: those for its stage, whichever the attempt, and those for any agent."""
_OF_TURN = and_(
    _message.run_id == bindparam("run"), _message.attempt_id == bindparam("attempt"), _message.turn == bindparam("turn")
)
_ANYTHING = CompiledStatement(select(_message.status).where(or_(_QUEUED, _OF_TURN)))
_WAITING = select(schema.messages).where(_QUEUED).order_by(_message.queued_at)
_URGENT = CompiledStatement(select(_message.id).where(_QUEUED, _message.urgent == 1).limit(1))
_DELIVERED = select(schema.messages).where(_OF_TURN).order_by(_message.queued_at)


class Messages:
    """The `messages` section of the ledger: what people say to a running agent."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store, self._commands = store, Commands(store)
        self._originals: dict[str, str | None] = {}

    def queue(self, run_id: str, text: str, *, sender: str, urgent: bool = False, signature: str = "") -> Message:
        """Make a message durable; the agent it is for reads it before its next model call.

        It is for the agent at work, whichever attempt of its stage that is in the end; of two side by side for the one
        that works on the stage itself and not on a part of it. While none is at work, it is for the next that begins.

        Args:
            run_id: The run.
            text: What to tell its agent.
            sender: Who says so.
            urgent: True if what the agent is in the middle of is to be dropped for it.
            signature: Over the canonical command, where identity is `ssh`.

        Raises:
            NotAllowed: No agent will read it: the run has ended, or rehearses an earlier one. Or policy does not let
                this person steer it, or the signature does not hold; that refusal is on record.
        """
        command = CommandRequest(run_id, "steer", sender, {"text": text, "urgent": urgent}, signature)
        after = self._commands.require_allowed(command)
        message_id = new_id("message")
        payload = payloads.MessageQueued(message=message_id, text=text, urgent=urgent)
        if signature:
            payload["signature"] = signature
        with self._store.change(run_id, EventKind.MESSAGE_QUEUED, actor=sender, payload=payload) as change:
            self._commands.require_latest(change, command, after)
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

        Effects: a message that no person sent who may is refused on record, and expires.
        """
        if (original := self._original(attempt.run_id)) is not None:
            recorded = attempt.id_in(original)
            return self._delivered(original, recorded, turn)
        states = self._store.ask(_ANYTHING, **_for(attempt, turn))
        if not states:
            return []
        if ("queued",) in states and (waiting := self._counted(attempt)):
            self._deliver(attempt, turn, {message.id for message in waiting})
        return self._delivered(attempt.run_id, attempt.id, turn)

    def delivered(self, attempt: Attempt, turn: int) -> list[Message]:
        """Messages handed over for a turn that has been answered; none is added any more."""
        run_id = self._original(attempt.run_id) or attempt.run_id
        return self._delivered(run_id, attempt.id_in(run_id), turn)

    def calls_now(self, attempt: Attempt) -> bool:
        """True if a message waits that must interrupt the agent at work on this attempt."""
        if not self._store.ask(_URGENT, **_for(attempt)) or self._original(attempt.run_id) is not None:
            return False
        return any(message.urgent for message in self._counted(attempt))

    def _counted(self, attempt: Attempt) -> list[Message]:
        """Messages queued for an attempt that were sent by people who may; the others are refused."""
        with self._store.reading() as connection:
            rows = connection.execute(_WAITING, _for(attempt)).mappings()
            waiting = [Message.model_validate(dict(row)) for row in rows]
        return [message for message in waiting if self._counts(message)]

    def _counts(self, message: Message) -> bool:
        """True if a person sent a message who may; the refusal of another one is on record, and it expires."""
        if why := self._why_refused(message):
            payload = refusal(_command(message), why, row=message.id)
            with self._store.change(
                message.run_id, EventKind.COMMAND_REFUSED, actor="engine", payload=payload
            ) as change:
                change.update(schema.messages, message.id, status="expired")
            return False
        return True

    def _delivered(self, run_id: str, attempt_id: str, turn: int) -> list[Message]:
        which = {"run": run_id, "attempt": attempt_id, "turn": turn}
        with self._store.reading() as connection:
            rows = connection.execute(_DELIVERED, which).mappings()
            delivered = [Message.model_validate(dict(row)) for row in rows]
        return [message for message in delivered if not self._why_refused(message)]

    def _deliver(self, attempt: Attempt, turn: int, counted: Collection[str]) -> None:
        payload: dict[str, Any] = {"attempt": attempt.id, "turn": turn}
        with self._store.change(attempt.run_id, EventKind.MESSAGE_DELIVERED, actor="engine", payload=payload) as change:
            waiting = change.connection.execute(_WAITING, _for(attempt)).scalars()
            payload["messages"] = [message_id for message_id in waiting if message_id in counted]
            if not payload["messages"]:  # expired with the run's end, or delivered, since they were seen
                change.abort()
            for message_id in payload["messages"]:
                change.update(
                    schema.messages,
                    message_id,
                    status="delivered",
                    attempt_id=attempt.id,
                    turn=turn,
                    delivered_at=self._store.clock.now(),
                )

    def _why_refused(self, message: Message) -> str:
        """Reason for which a message does not count; empty if it does."""
        return self._commands.why_not_attested(_command(message), EventKind.MESSAGE_QUEUED, message.id)

    def _original(self, run_id: str) -> str | None:
        """The run that this one rehearses, if it is a rehearsal."""
        if run_id not in self._originals:  # asked at every turn, and never another
            with self._store.reading() as connection:
                origin = connection.execute(select(schema.runs.c.origin).where(schema.runs.c.id == run_id)).scalar()
            self._originals[run_id] = rehearsed_run(origin)
        return self._originals[run_id]

    def list(self, run_id: str) -> list[Message]:
        """A run's messages in the order they were queued."""
        query = select(schema.messages).where(schema.messages.c.run_id == run_id).order_by(schema.messages.c.queued_at)
        with self._store.reading() as connection:
            return [Message.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def expire_unread(change: UnitOfWork, attempt: Attempt) -> list[str]:
    """Expire, within a change, what was queued for an agent that has finished; the messages' ids."""
    query = select(_message.id).where(_QUEUED, _message.attempt_id.is_not(None)).order_by(_message.queued_at)
    unread = [str(message_id) for message_id in change.connection.execute(query, _for(attempt)).scalars()]
    for message_id in unread:
        change.update(schema.messages, message_id, status="expired")
    return unread


def _for(attempt: Attempt, turn: int = 0) -> dict[str, Any]:
    return {"run": attempt.run_id, "stage": f"{attempt.id.rpartition('/')[0]}/", "attempt": attempt.id, "turn": turn}


def _command(message: Message) -> CommandRequest:
    """The command that a message claims to be."""
    arguments: dict[str, str | int | bool] = {"text": message.text, "urgent": message.urgent}
    return CommandRequest(message.run_id, "steer", message.sender, arguments)


def _require_reader(change: UnitOfWork, run_id: str) -> None:
    run = change.row(schema.runs, run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
    if run["status"] in ENDED:
        raise NotAllowed(f"run {run_id} is {run['status']}: no agent of it will read a message any more")
    if rehearsed_run(run["origin"]):
        raise NotAllowed(f"run {run_id} is a rehearsal: its agents are told what they were told then, and nothing else")


def _at_work(change: UnitOfWork, run_id: str) -> str | None:
    """The attempt whose agent is at work or waits for a person, or `None` if there is none."""
    table = schema.attempts.c
    query = (
        select(table.id)
        .where(table.run_id == run_id, table.status == "running", table.superseded == 0, table.model != "")
        .order_by(table.part, table.started_at.desc())
    )
    attempt_id = change.connection.execute(query).scalars().first()
    return None if attempt_id is None else str(attempt_id)
