"""Runs in the ledger: accepted, carried on, asked to stop, ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal

from sqlalchemy import select

from phasegate.infra.artifacts import Artifact
from phasegate.infra.errors import NotAllowed, NotFound, TrailBroken, UsageError
from phasegate.infra.ledger.artifacts import put
from phasegate.infra.ledger.chain import is_as_accepted
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.command_checks import Commands
from phasegate.infra.ledger.gates.commands import CommandRequest
from phasegate.infra.ledger.records import ENDED, Origin, Run, RunOptions, RunStatus
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store, UnitOfWork
from phasegate.infra.ledger.trail_rows import DatabaseRows

_ALIKE = 0.5
"""Similarity from which on a run's id is offered for one that was mistyped."""


class Runs:
    """The `runs` section of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store, self._commands = store, Commands(store)

    def accept(  # noqa: PLR0913 -- a run has as many facts
        self,
        run_id: str,
        *,
        title: str,
        ticket: Artifact,
        policy: Artifact,
        repository: str,
        base_branch: str,
        base_commit: str,
        requester: str,
        options: RunOptions,
        definition: str,
        origin: Origin | None = None,
        signature: str = "",
        also: Sequence[Artifact] = (),
    ) -> Run:
        """Make a run durable; the engine takes it from here (outbox).

        Args:
            run_id: A fresh id, see `store.new_id`.
            title: One line for lists.
            ticket: The ticket, stored with the run.
            policy: The policy at the base commit, stored with the run.
            repository: The repository's top folder.
            base_branch: The branch integrated into.
            base_commit: The commit the run starts from.
            requester: The person's name.
            options: What they chose.
            definition: The version of the pipeline's definition.
            origin: The run this one goes back to, if it does.
            signature: Over the command `replay` to that run, where its commands are signed.
            also: Further artifacts the run needs, such as the rehearsal script.
        """
        said_of_origin = origin.model_dump(mode="json", by_alias=True) if origin else None
        payload = payloads.RunAccepted(title=title, base_commit=base_commit, notices=list(options.notices))
        if said_of_origin:
            payload["origin"] = said_of_origin
        if signature:
            payload["signature"] = signature
        with self._store.change(run_id, EventKind.RUN_ACCEPTED, actor=requester, payload=payload) as change:
            for artifact in sorted((ticket, policy, *also), key=lambda artifact: artifact.digest):
                put(change, artifact, self._store.clock.now())
            change.insert(
                schema.runs,
                id=run_id,
                title=title,
                ticket=ticket.digest,
                policy=policy.digest,
                repository=repository,
                base_branch=base_branch,
                base_commit=base_commit,
                requester=requester,
                options=options.model_dump(mode="json"),
                definition=definition,
                origin=said_of_origin,
                status="accepted",
                request="",
                recoveries=0,
                grants=0,
                created_at=self._store.clock.now(),
            )
        return self.get(run_id)

    def get(self, run_id: str) -> Run:
        """The run with exactly this id.

        Raises:
            NotFound: There is none.
        """
        with self._store.reading() as connection:
            row = connection.execute(select(schema.runs).where(schema.runs.c.id == run_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
        return Run.model_validate(dict(row))

    def require_as_accepted(self, run_id: str) -> None:
        """Make sure that a run is about what was accepted: ticket, policy, requester and what they chose.

        Each event vouches for the run's row as it finds it; the first one alone says what was accepted.

        Raises:
            TrailBroken: Something other than phasegate changed it.
        """
        with self._store.reading() as connection:
            holds = is_as_accepted(DatabaseRows(connection), run_id)
        if not holds:
            raise TrailBroken(
                f"run {run_id} is not what was accepted: its row was altered by something other than phasegate",
                remedy="Compare with a copy of the ledger, and start a new run of the ticket.",
            )

    def find(self, reference: str) -> Run:
        """The run a person means: an id, the beginning of one, or `latest`.

        Raises:
            NotFound: No run matches.
            UsageError: Several do.
        """
        with self._store.reading() as connection:
            ids = list(connection.execute(select(schema.runs.c.id).order_by(schema.runs.c.created_at.desc())).scalars())
        if not ids:
            raise NotFound("there are no runs yet", remedy="Start one with `phasegate run TICKET`.")
        if reference == "latest":
            return self.get(ids[0])
        matching = [run for run in ids if run == reference] or [run for run in ids if run.startswith(reference)]
        if not reference or not matching:
            alike = ", ".join(get_close_matches(reference, ids, cutoff=_ALIKE))
            meant = f"Did you mean {alike}? " if alike else ""
            raise NotFound(f"there is no run {reference}", remedy=f"{meant}List the runs with `phasegate runs`.")
        if len(matching) > 1:
            raise UsageError(f"{reference} could be {', '.join(matching)}", remedy="Give more of the run's id.")
        return self.get(matching[0])

    def repositories(self) -> dict[str, str]:
        """Folder of each repository that has runs to the id of its newest run, newest first."""
        query = select(schema.runs.c.repository, schema.runs.c.id).order_by(schema.runs.c.created_at.desc())
        newest: dict[str, str] = {}
        with self._store.reading() as connection:
            for repository, run_id in connection.execute(query):
                newest.setdefault(repository, run_id)
        return newest

    def list(self, *, statuses: Sequence[str] = ()) -> list[Run]:
        """Runs, newest first; only those in the given statuses, if any are given."""
        query = select(schema.runs).order_by(schema.runs.c.created_at.desc())
        if statuses:
            query = query.where(schema.runs.c.status.in_(statuses))
        with self._store.reading() as connection:
            return [Run.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def dispatched(self, run_id: str, flow_run_id: str) -> None:
        """Remember which Prefect flow run carries the run."""
        with self._store.change(run_id, EventKind.RUN_DISPATCHED, actor="engine") as change:
            change.update(schema.runs, run_id, flow_run_id=flow_run_id)

    def set_status(
        self,
        run_id: str,
        status: RunStatus,
        *,
        actor: str = "engine",
        reason: dict[str, Any] | None = None,
        wake_at: datetime | None = None,
    ) -> None:
        """Say where the run stands; does nothing when it stands there already.

        A run that ends takes what was still open with it: its gates are void, its messages expired.

        Args:
            run_id: The run.
            status: Its new status.
            actor: Who changed it.
            reason: The reason of the status, for people and for programs.
            wake_at: Time at which an engine executes the run again, although a gate of it may be open. None: a run that
                waits is executed when a person or a gate's expiry ends the wait, any other run at once.

        Raises:
            NotAllowed: The run was to be done, but a person has asked for something else meanwhile.
        """
        run = self.get(run_id)
        if (run.status, run.reason, run.wake_at) == (status, reason, wake_at):
            return
        payload = payloads.RunStatusChanged({"from": run.status, "reason": reason})
        with self._store.change(run_id, EventKind(f"run.{status}"), actor=actor, payload=payload) as change:
            ended: dict[str, Any] = {}
            if status in ENDED:
                ended = {"finished_at": self._store.clock.now(), "request": ""}
                if unread := _close_what_is_open(change, run_id):
                    payload["expired"] = unread
            if status == "done" and (request := _locked(change, run_id).request) not in {"", "pause"}:
                raise NotAllowed(f"run {run_id} is not done: a person asked to {request}")
            change.update(schema.runs, run_id, status=status, reason=reason, wake_at=wake_at, **ended)

    def ask(
        self, run_id: str, request: Literal["pause", "cancel", "rollback"], *, actor: str, signature: str = ""
    ) -> Run:
        """Record that a person wants the run paused, cancelled or rolled back.

        Args:
            run_id: The run.
            request: The command.
            actor: The person's name.
            signature: Over the canonical command, where identity is `ssh`.

        Raises:
            NotAllowed: The run has ended in a way that leaves nothing to do. Or policy does not let this person give
                the command, or the signature does not hold; that refusal is on record.
        """
        command = CommandRequest(run_id, request, actor, signature=signature)
        after = self._commands.require_allowed(command)
        with self._store.change(
            run_id, EventKind(f"run.{request}-requested"), actor=actor, payload=command.signed
        ) as change:
            self._commands.require_latest(change, command, after)
            run = _locked(change, run_id)
            if run.status in ENDED and not (request == "rollback" and run.status == "done"):
                undo = f"Undo what it did with `phasegate rollback {run_id}`." if run.status == "done" else ""
                raise NotAllowed(f"run {run_id} is {run.status}: there is nothing to {request}", remedy=undo)
            if request == "pause" and run.status in {"failed", "needs-operator", "paused"}:
                raise NotAllowed(f"run {run_id} is {run.status}: nothing is running to pause")
            if request == "pause" and run.request not in {"", "pause"}:
                raise NotAllowed(f"run {run_id} is not paused: a person asked to {run.request} it")
            wakes = {} if request == "pause" else {"status": "running", "finished_at": None}
            change.update(schema.runs, run_id, request=request, **wakes)
        return self.get(run_id)

    def resume(self, run_id: str, *, actor: str, signature: str = "") -> Run:
        """Resume a run that is paused, failed or needs an operator; the last kind is granted one more attempt.

        Args:
            run_id: The run.
            actor: The person's name.
            signature: As in `ask`.

        Raises:
            NotAllowed: The run is not stopped, or has ended. Or the person may not resume it, as in `ask`.
        """
        command = CommandRequest(run_id, "resume", actor, signature=signature)
        after = self._commands.require_allowed(command)
        with self._store.change(run_id, EventKind.RUN_RESUMED, actor=actor, payload=command.signed) as change:
            self._commands.require_latest(change, command, after)
            run = _locked(change, run_id)
            if run.status in ENDED:
                raise NotAllowed(f"run {run_id} is {run.status} and cannot go on", remedy="Start a new run.")
            if run.status not in {"failed", "needs-operator", "paused"} and run.request != "pause":
                raise NotAllowed(
                    f"run {run_id} is {run.status}: it goes on by itself while an engine is up",
                    remedy="See with `phasegate status` if one is; `phasegate up` starts one.",
                )
            grants = run.grants + (run.status == "needs-operator")
            goes_on = "rewind" if run.request == "rewind" else ""  # one that got stuck half-way is finished first
            change.update(
                schema.runs,
                run_id,
                status="running",
                request=goes_on,
                reason=None,
                wake_at=None,
                grants=grants,
                recoveries=0,
            )
        return self.get(run_id)

    def recovered(self, run_id: str) -> Run:
        """Count one automatic recovery since the last finished attempt."""
        with self._store.change(run_id, EventKind.RUN_RECOVERED, actor="engine") as change:
            run = _locked(change, run_id)
            change.update(schema.runs, run_id, recoveries=run.recoveries + 1)
        return self.get(run_id)


def _close_what_is_open(change: UnitOfWork, run_id: str) -> list[str]:
    """Void a run's open gates and expire its unread messages, whose ids are returned."""
    closed: dict[str, list[str]] = {}
    for table, was, becomes in ((schema.gates, "open", "void"), (schema.messages, "queued", "expired")):
        query = select(table.c.id).where(table.c.run_id == run_id, table.c.status == was)
        closed[table.name] = [str(row_id) for row_id in change.connection.execute(query).scalars()]
        for row_id in closed[table.name]:
            change.update(table, row_id, status=becomes)
    return closed["messages"]


def _locked(change: UnitOfWork, run_id: str) -> Run:
    row = change.row(schema.runs, run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
    return Run.model_validate(dict(row))
