"""Stage attempts and the leases they run under.

An attempt's key is the digest of what goes into it: a finished attempt with the same key is never executed again (P2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from phasegate.infra.artifacts import Artifact, canonical_json, sha256
from phasegate.infra.errors import LeaseHeld, NotFound
from phasegate.infra.ledger.artifacts import put
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.leases import put_lease
from phasegate.infra.ledger.messages import expire_unread
from phasegate.infra.ledger.records import Attempt, Lease
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork


class Attempts:
    """The `attempts` section of the ledger, with the lease on each."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def begin(
        self,
        run_id: str,
        stage: str,
        part: str,
        number: int,
        *,
        inputs: Mapping[str, str],
        model: str,
        prompt: str,
        holder: str,
    ) -> tuple[Attempt, Lease | None]:
        """Record the intent to try a stage, and take the lease on it.

        Returns:
            The attempt, with the lease under which it is to run; no lease when it has finished already.

        Raises:
            LeaseHeld: Another holder works on it.

        Effects:
            One attempt row per (run, stage, part, number); a second call with the same inputs finds it.
        """
        attempt_id = str(AttemptId.of(run_id, stage, part, number))
        key = sha256(canonical_json({"attempt": attempt_id, "inputs": dict(inputs)}))
        if (finished := self.find(attempt_id)) is not None and finished.has_finished_from(key):
            return finished, None  # asked at every pass, so without a write transaction: what has finished stays so
        payload: dict[str, Any] = {"attempt": attempt_id, "inputs": dict(inputs)}
        # Not synced: an attempt that a power cut takes begins again; the change that tells what came of it is, and
        # brings this with it.
        with self._store.change(
            run_id, EventKind.ATTEMPT_STARTED, actor="engine", payload=payload, synced=False
        ) as change:
            row = change.row(schema.attempts, attempt_id)
            existing = None if row is None else Attempt.model_validate(dict(row))
            if existing is not None and existing.has_finished_from(key):
                change.abort()
                return existing, None
            lease = self._take(change, run_id, attempt_id, holder)
            payload |= {"again": existing is not None, "token": lease.token}
            fresh = {"key": key, "inputs": dict(inputs), "status": "running", "error": None, "model": model}
            if existing is None:
                change.insert(
                    schema.attempts,
                    id=attempt_id,
                    run_id=run_id,
                    stage=stage,
                    part=part,
                    number=number,
                    prompt=prompt,
                    started_at=self._store.clock.now(),
                    **fresh,
                )
            else:
                change.update(schema.attempts, attempt_id, **fresh, artifact=None, origin="", finished_at=None)
        return self.get(attempt_id), lease

    def adopt(self, run_id: str, original: Attempt) -> Attempt:
        """Take over a finished attempt of another run as this run's own; nothing is worked on, so no lease is needed.

        Args:
            run_id: The run that adopts.
            original: The other run's attempt, finished.

        Effects:
            One attempt row that names where it came from and shares the artifact; a second call finds it.
        """
        attempt_id = str(AttemptId.of(run_id, original.stage, original.part, original.number))
        if (existing := self.find(attempt_id)) is not None:
            return existing
        payload = payloads.AttemptAdopted({"attempt": attempt_id, "from": original.id, "artifact": original.artifact})
        with self._store.change(run_id, EventKind.ATTEMPT_ADOPTED, actor="engine", payload=payload) as change:
            now = self._store.clock.now()
            change.attest(schema.artifacts, original.artifact or "")
            change.insert(
                schema.attempts,
                id=attempt_id,
                run_id=run_id,
                stage=original.stage,
                part=original.part,
                number=original.number,
                key=sha256(canonical_json({"attempt": attempt_id, "inputs": original.inputs})),
                inputs=original.inputs,
                model=original.model,
                prompt=original.prompt,
                status="finished",
                artifact=original.artifact,
                checkpoint=original.checkpoint,
                origin=original.id,
                started_at=now,
                finished_at=now,
            )
        return self.get(attempt_id)

    def finish(self, attempt: Attempt, lease: Lease, artifact: Artifact, *, also: tuple[Artifact, ...] = ()) -> Attempt:
        """Record what came out, in one transaction with the artifact itself; messages its agent did not read expire.

        Raises:
            LeaseHeld: The lease was lost meanwhile: another engine works on it.
        """
        payload = payloads.AttemptFinished(attempt=attempt.id, artifact=artifact.digest, kind=artifact.kind)
        with self._store.change(attempt.run_id, EventKind.ATTEMPT_FINISHED, actor="engine", payload=payload) as change:
            self._hold(change, lease)
            now = self._store.clock.now()
            for output in sorted((artifact, *also), key=lambda output: output.digest):  # one order for all: no deadlock
                put(change, output, now)
            change.update(
                schema.attempts, attempt.id, status="finished", artifact=artifact.digest, finished_at=now, error=None
            )
            change.update(schema.runs, attempt.run_id, recoveries=0)
            if unread := expire_unread(change, attempt):
                payload["expired"] = unread
            change.update(schema.leases, lease.id, expires_at=now)
        return self.get(attempt.id)

    def fail(self, attempt: Attempt, lease: Lease, error: dict[str, Any]) -> Attempt:
        """Record that the attempt ended in an error.

        Raises:
            LeaseHeld: The lease was lost meanwhile.
        """
        payload = payloads.AttemptFailed(attempt=attempt.id, error=error)
        with self._store.change(attempt.run_id, EventKind.ATTEMPT_FAILED, actor="engine", payload=payload) as change:
            self._hold(change, lease)
            now = self._store.clock.now()
            change.update(schema.attempts, attempt.id, status="failed", error=error, finished_at=now)
            change.update(schema.leases, lease.id, expires_at=now)
        return self.get(attempt.id)

    def checkpoint(self, attempt: Attempt, commit: str) -> None:
        """Record the commit that holds the workspace as of the attempt's last finished turn."""
        with self._store.change(
            attempt.run_id,
            EventKind.ATTEMPT_CHECKPOINTED,
            actor="engine",
            payload={"attempt": attempt.id, "commit": commit},
        ) as change:
            change.update(schema.attempts, attempt.id, checkpoint=commit)

    def find(self, attempt_id: str) -> Attempt | None:
        """The attempt with this id, if there is one."""
        with self._store.reading() as connection:
            row = (
                connection.execute(select(schema.attempts).where(schema.attempts.c.id == attempt_id)).mappings().first()
            )
        return None if row is None else Attempt.model_validate(dict(row))

    def get(self, attempt_id: str) -> Attempt:
        """The attempt with this id.

        Raises:
            NotFound: There is none.
        """
        if (attempt := self.find(attempt_id)) is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        return attempt

    def list(self, run_id: str) -> list[Attempt]:
        """A run's attempts in the order they began."""
        query = select(schema.attempts).where(schema.attempts.c.run_id == run_id).order_by(schema.attempts.c.started_at)
        with self._store.reading() as connection:
            return [Attempt.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def renew(self, lease: Lease) -> Lease:
        """Hold a lease longer.

        Raises:
            LeaseHeld: It was lost meanwhile.
        """
        expires_at = self._store.clock.now() + self._store.lease
        with self._store.writing(lease.run_id, "attempt.renewed") as connection:
            table = schema.leases.c
            renewed = connection.execute(
                update(schema.leases)
                .where(table.id == lease.id, table.token == lease.token, table.holder == lease.holder)
                .values(expires_at=expires_at)
            )
        if renewed.rowcount != 1:
            self._store.require_fence(lease.run_id, "attempt.renewed")
            raise LeaseHeld(f"the lease on {lease.id} was lost")
        return lease.model_copy(update={"expires_at": expires_at})

    def release(self, lease: Lease) -> None:
        """Give a lease back without an outcome, as when the engine stops in the middle."""
        with self._store.writing(lease.run_id, "attempt.released") as connection:
            table = schema.leases.c
            connection.execute(
                update(schema.leases)
                .where(table.id == lease.id, table.token == lease.token)
                .values(expires_at=self._store.clock.now())
            )

    def _take(self, change: UnitOfWork, run_id: str, name: str, holder: str) -> Lease:
        now = self._store.clock.now()
        row = change.row(schema.leases, name)
        # Who writes inside a fence has the whole run: what an engine before it held of the run is held no more.
        if row is not None and row["expires_at"] > now and row["holder"] != holder and self._store.fence is None:
            raise LeaseHeld(f"{row['holder']} works on {name}", delay=row["expires_at"] - now)
        return put_lease(change, row, name, run_id=run_id, holder=holder, expires_at=now + self._store.lease)

    @staticmethod
    def _hold(change: UnitOfWork, lease: Lease) -> None:
        row = change.row(schema.leases, lease.id)
        if row is None or row["token"] != lease.token or row["holder"] != lease.holder:
            raise LeaseHeld(f"the lease on {lease.id} was lost: a later attempt fenced this one off")
