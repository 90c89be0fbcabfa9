"""Effects: what was done to the world, recorded with its undoing before it was done (P3, P6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.records import CALLED_OFF, Effect, EffectClass
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store


class Effects:
    """The `effects` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def intend(
        self,
        run_id: str,
        kind: str,
        key: str,
        *,
        intent: Mapping[str, Any],
        compensation: str,
        effect_class: EffectClass = "compensable",
    ) -> Effect:
        """Record that an effect is about to be made; an effect with this key is returned as it stands.

        Args:
            run_id: Whose effect.
            kind: Which performer makes and undoes it, such as `merge`.
            key: The idempotency key, unique in the ledger; what it makes in the world carries it.
            intent: JSON-able: all the performer needs to make it and to find it made.
            compensation: One sentence for people: what undoing it does.
            effect_class: `reversible` leaves no trace once undone, `compensable` does (a revert commit), and a `pivot`
                cannot be undone at all.
        """
        if (existing := self.find(key)) is not None:
            if existing.status == "intended":
                self._store.require_fence(
                    run_id, EventKind.EFFECT_INTENDED
                )  # the engine that owns the run now makes it
            return existing
        payload = payloads.EffectIntended(effect=key, kind=kind, intent=dict(intent), compensation=compensation)
        with self._store.change(run_id, EventKind.EFFECT_INTENDED, actor="engine", payload=payload) as change:
            count = select(func.count()).select_from(schema.effects).where(schema.effects.c.run_id == run_id)
            change.insert(
                schema.effects,
                id=key,
                run_id=run_id,
                position=1 + (change.connection.execute(count).scalar() or 0),
                kind=kind,
                key=key,
                intent=dict(intent),
                effect_class=effect_class,
                compensation=compensation,
                status="intended",
                intended_at=self._store.clock.now(),
            )
        return self.get(key)

    def done(self, effect: Effect, result: Mapping[str, Any]) -> Effect:
        """Record that the effect is in the world, with what it made."""
        payload = payloads.EffectSettled(effect=effect.key, result=dict(result))
        with self._store.change(effect.run_id, EventKind.EFFECT_DONE, actor="engine", payload=payload) as change:
            change.update(
                schema.effects, effect.id, status="done", result=dict(result), done_at=self._store.clock.now()
            )
        return self.get(effect.key)

    def undone(self, effect: Effect, result: Mapping[str, Any]) -> Effect:
        """Record that the effect was undone, with what undoing it made."""
        payload = payloads.EffectSettled(effect=effect.key, result=dict(result))
        with self._store.change(effect.run_id, EventKind.EFFECT_UNDONE, actor="engine", payload=payload) as change:
            change.update(
                schema.effects, effect.id, status="undone", undo_result=dict(result), undone_at=self._store.clock.now()
            )
        return self.get(effect.key)

    def call_off(self, effect: Effect, why: str) -> Effect:
        """Record that an intended effect was not made and will not be, with the reason."""
        return self.undone(effect, {CALLED_OFF: why})

    def stuck(self, effect: Effect, error: Mapping[str, Any]) -> Effect:
        """Record that undoing the effect failed for good: a person has to act."""
        payload = payloads.EffectStuck(effect=effect.key, error=dict(error))
        with self._store.change(effect.run_id, EventKind.EFFECT_STUCK, actor="engine", payload=payload) as change:
            change.update(schema.effects, effect.id, status="stuck", undo_result=dict(error))
        return self.get(effect.key)

    def begin_rollback(self, run_id: str, ending: Mapping[str, Any]) -> None:
        """Record why a run's effects are about to be undone and how it ends then: from here on it only goes back."""
        with self._store.change(run_id, EventKind.ROLLBACK_BEGAN, actor="engine", payload=ending):
            pass

    def rollback(self, run_id: str) -> Mapping[str, Any] | None:
        """Payload of the event that began a rollback, or `None` if none has begun or the run was rewound since."""
        table = schema.events.c
        query = (
            select(table.kind, table.payload)
            .where(table.run_id == run_id, table.kind.in_((EventKind.ROLLBACK_BEGAN, EventKind.RUN_REWOUND)))
            .order_by(table.position.desc())
        )
        with self._store.reading() as connection:
            last = connection.execute(query).first()
        return None if last is None or last.kind != EventKind.ROLLBACK_BEGAN else json.loads(last.payload)

    def find(self, key: str) -> Effect | None:
        """The effect with this key, if it was ever intended."""
        with self._store.reading() as connection:
            row = connection.execute(select(schema.effects).where(schema.effects.c.key == key)).mappings().first()
        return None if row is None else Effect.model_validate(dict(row))

    def get(self, key: str) -> Effect:
        """The effect with this key, which exists."""
        effect = self.find(key)
        assert effect is not None, key  # noqa: S101  the caller has just written it
        return effect

    def list(self, run_id: str) -> list[Effect]:
        """A run's effects in the order they were intended."""
        query = select(schema.effects).where(schema.effects.c.run_id == run_id).order_by(schema.effects.c.position)
        with self._store.reading() as connection:
            return [Effect.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def runs(self, kind: str) -> Sequence[str]:
        """The ids of all runs that ever intended an effect of a kind, the latest intention first."""
        table = schema.effects.c
        query = select(table.run_id).where(table.kind == kind).group_by(table.run_id)
        with self._store.reading() as connection:
            return connection.execute(query.order_by(func.max(table.intended_at).desc())).scalars().all()
