"""The ledger's tables. Only this package knows them.

Every table has a text primary key `id`, and every table but `events` is vouched for by the chain: the event of a change
carries the digest of each row it touched. JSON and instants are stored as canonical text, so that a
row's digest is the same on SQLite and Postgres.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Dialect, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

from phasegate.infra.artifacts import canonical_json


class Json(TypeDecorator[Any]):
    """JSON kept as canonical text."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else canonical_json(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Instant(TypeDecorator[datetime]):
    """An aware moment, kept as ISO 8601 text in UTC with microseconds: sorts as it reads."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


metadata = MetaData()


def _of_run() -> Column[str]:
    return Column("run_id", Text, nullable=False, index=True)


runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("base_branch", Text, nullable=False),
    Column("base_commit", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("options", Json, nullable=False),
    Column("definition", Text, nullable=False),
    Column("origin", Json),
    Column("status", Text, nullable=False),
    Column("request", Text, nullable=False, default=""),
    Column("reason", Json),
    Column("wake_at", Instant),
    Column("flow_run_id", Text),
    Column("recoveries", Integer, nullable=False, default=0),
    Column("grants", Integer, nullable=False, default=0),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("stage", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("inputs", Json, nullable=False),
    Column("model", Text, nullable=False, default=""),
    Column("prompt", Text, nullable=False, default=""),
    Column("status", Text, nullable=False),
    Column("artifact", Text),
    Column("checkpoint", Text),
    Column("origin", Text, nullable=False, default=""),
    Column("error", Json),
    Column("superseded", Integer, nullable=False, default=0),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    UniqueConstraint("run_id", "stage", "part", "number"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

gates = Table(
    "gates",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("gate", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("subject", Json, nullable=False),
    Column("subject_digest", Text, nullable=False),
    Column("roles", Json, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("exclude_requester", Integer, nullable=False),
    Column("requester", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("gate_id", Text, nullable=False),
    Column("subject_digest", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("standing", Integer, nullable=False),
    Column("override", Integer, nullable=False, default=0),
    Column("note", Text, nullable=False),
    Column("signature", Text, nullable=False, default=""),
    Column("for_stage", Integer, nullable=False, default=0),
    Column("tests", Json, nullable=False, default=[]),
    Column("decided_at", Instant, nullable=False),
    UniqueConstraint("gate_id", "approver", "override"),
)

effects = Table(
    "effects",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("intent", Json, nullable=False),
    Column("effect_class", Text, nullable=False),
    Column("compensation", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("result", Json),
    Column("undo_result", Json),
    Column("superseded", Integer, nullable=False, default=0),
    Column("intended_at", Instant, nullable=False),
    Column("done_at", Instant),
    Column("undone_at", Instant),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("sender", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt_id", Text),
    Column("turn", Integer),
    Column("queued_at", Instant, nullable=False),
    Column("delivered_at", Instant),
    Column("urgent", Integer, nullable=False, default=0),
)

questions = Table(
    "questions",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("attempt_id", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("answer", Text),
    Column("answered_by", Text, nullable=False, default=""),
    Column("asked_at", Instant, nullable=False),
    Column("answered_at", Instant),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("attempt_id", Text, nullable=False, index=True),
    Column("turn", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("request_digest", Text, nullable=False),
    Column("request_shared", Integer, nullable=False),
    Column("request_rest", Text, nullable=False),
    Column("reply", Json, nullable=False),
    Column("response", Text, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("cached_input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("latency_seconds", Float, nullable=False),
    Column("at", Instant, nullable=False),
    Column("packed", Integer, nullable=False, default=0),
    UniqueConstraint("attempt_id", "turn"),
    # Asked before every model call: totals are read from here, not from rows of many pages.
    Index(
        "ix_exchanges_usage",
        *("run_id", "attempt_id", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd"),
    ),
)

turns = Table(
    "turns",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("entry", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("holder", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("released_at", Instant),
)

events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    _of_run(),
    Column("position", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("run_id", "position"),
)

VOUCHED = (runs, attempts, artifacts, gates, decisions, effects, messages, questions, exchanges, turns, leases)
"""The tables whose every row an event vouches for."""

UNVOUCHED_COLUMNS = {("leases", "expires_at"), ("leases", "released_at")}
"""Columns that change without an event: a lease is renewed every few seconds, and its times prove nothing."""

LATER_COLUMNS: dict[tuple[str, str], int | str | None] = {
    ("messages", "urgent"): 0,
    ("decisions", "for_stage"): 0,
    ("decisions", "tests"): "[]",
    ("exchanges", "packed"): 0,
    ("runs", "wake_at"): None,
}
"""Columns of later formats, with the values of older rows: a row's digest includes one only if its value differs."""
