"""Checks of commands against the run's policy, its events and its signers, when they are given and whenever read.

Used by the sections whose events record commands, and by the engine before it acts on a request. It believes no row: a
request, a message or an answer counts if an event of a person says so who may give that command. What does not count is
refused on record, and the run is put back to where its events say it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import NotAllowed, NotFound, TrailBroken
from phasegate.infra.identity import AllowedSigners, CommandStatement
from phasegate.infra.ledger.artifacts import Artifacts
from phasegate.infra.ledger.chain import Link
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.commands import (
    REQUEST_KINDS,
    CommandAuthority,
    CommandRequest,
    bound_to,
    check_command,
    command_rules_of,
    command_statement,
    commands_in,
    latest_command,
    refusal,
    replay_command,
)
from phasegate.infra.ledger.gates.rows import GateRows
from phasegate.infra.ledger.gates.standing import HALTED, STANDING_KINDS, Standing, standing
from phasegate.infra.ledger.records import ENDED, Run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.compiled import CompiledStatement
from phasegate.infra.ledger.storage.store import GENESIS, Store, UnitOfWork

_REQUEST = CompiledStatement(select(schema.runs.c.request).where(schema.runs.c.id == bindparam("run")))
NO_EVENT = "no event of the run says that a person gave it"
OVERTAKEN = "another command was given meanwhile, and a signature holds for the next one only"


class Commands:
    """The `commands` section of the ledger: what people ask of a run, apart from decisions."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store, self._artifacts, self._gates = store, Artifacts(store), GateRows(store)
        self._rules: dict[str, tuple[CommandAuthority | None, AllowedSigners | None]] = {}
        self._refusals: dict[str, str] = {}

    def rules(self, run_id: str) -> CommandAuthority | None:
        """Rules of a run's commands by its stored policy; `None` if that is of a version that had none.

        Raises:
            NotFound: There is no such run.
            TrailBroken: The policy, or the run's first event, is not what was accepted.
        """
        return self._rules_of(run_id)[0]

    def signers(self, run_id: str) -> AllowedSigners | None:
        """People whose signatures count for a run's commands, or `None` if these are not signed.

        Raises:
            NotFound, TrailBroken: As `rules`.
        """
        return self._rules_of(run_id)[1]

    def statement(self, command: CommandRequest) -> CommandStatement:
        """The canonical command, as its actor signs it now.

        Raises:
            NotAllowed: Commands of the run are not signed.
        """
        rules = self.rules(command.run)
        if rules is None:
            raise NotAllowed(f"commands to run {command.run} are not signed: its policy is of an earlier version")
        with self._store.reading() as connection:
            return command_statement(command, rules, bound_to(command, _links(connection, command.run)))

    def require_allowed(self, command: CommandRequest) -> str:
        """Stop unless a person may give a command now; a refusal is on record.

        Returns:
            Hash of the event of the command before it, for `require_latest`.

        Raises:
            NotAllowed: They may not.
            NotFound, TrailBroken: As `rules`.
        """
        rules, signers = self._rules_of(command.run)
        with self._store.reading() as connection:
            after = bound_to(command, _links(connection, command.run))
        if rules is not None:
            try:
                check_command(command, rules, signers, after=after, at=self._gates.now_in(command.run))
            except NotAllowed as error:
                self.refuse(command, error.message, actor=command.actor)
                raise
        return after

    def require_latest(self, change: UnitOfWork, command: CommandRequest, after: str) -> None:
        """Stop a signed command within its change if another command was recorded since it was checked.

        Raises:
            NotAllowed: One was.
        """
        if command.signature and latest_command(_links(change.connection, command.run)) != after:
            raise NotAllowed(OVERTAKEN, remedy="Give the command again; with --signature, print and sign it anew.")

    def require_replay_allowed(self, run: Run) -> None:
        """Stop unless the person who asked for a replay may replay the earlier run; others need no permission.

        Raises:
            NotAllowed: They may not.
            NotFound, TrailBroken: As `rules`, for the earlier run.
        """
        if run.origin is None:
            return
        rules, signers = self._rules_of(run.origin.run)
        if rules is not None:
            with self._store.reading() as connection:
                first, earlier = _links(connection, run.id)[0], _links(connection, run.origin.run)
            command = replay_command(run.id, run.origin, first.actor, str(first.payload.get("signature", "")))
            check_command(command, rules, signers, after=bound_to(command, earlier), at=first.at)

    def refuse(
        self, command: CommandRequest, why: str, *, actor: str = "engine", event: int | None = None, row: str = ""
    ) -> None:
        """Record that a command was refused; the same refusal once.

        Args:
            command: The command, as far as it is known.
            why: The reason.
            actor: Who tried; the engine when it found the command in the ledger.
            event: Position of the event that records it.
            row: The message or the question that it claims to be.
        """
        payload = refusal(command, why, event, row)
        table, body = schema.events.c, canonical_json({**payload, "rows": {}})
        query = select(table.id).where(
            table.run_id == command.run,
            table.kind == EventKind.COMMAND_REFUSED,
            table.actor == actor,
            table.payload == body,
        )
        with self._store.reading() as connection:
            exists = connection.execute(query).first() is not None
        if not exists:
            with self._store.change(command.run, EventKind.COMMAND_REFUSED, actor=actor, payload=payload):
                pass

    def request(self, run_id: str) -> str:
        """Request that a run has yet to meet and that a person made who may, such as `pause`; empty if there is none.

        Effects: as `settle`, where there is one.
        """
        if not self._store.ask(_REQUEST, run=run_id)[0][0]:
            return ""
        self.settle(run_id)
        return str(self._store.ask(_REQUEST, run=run_id)[0][0])

    def standing(self, run_id: str) -> Standing:
        """Place of a run by the events that count."""
        with self._store.reading() as connection:
            links = _links(connection, run_id)
        return self._standing(run_id, links)

    def settle(self, run_id: str) -> None:
        """Refuse what claims to be a command to a run and is none, and put the run's row right.

        Effects: one `command.refused` event for each event that does not count, and one for a row that was changed
        without an event. The run has the request and the status that its other events give it.
        """
        with self._store.reading() as connection:
            links = _links(connection, run_id)
        refused = {link.payload.get("event") for link in links if link.kind == EventKind.COMMAND_REFUSED}
        for link, command, after in commands_in(run_id, links):
            is_new = link.kind in REQUEST_KINDS and link.position not in refused
            if is_new and (why := self._why_refused(link, command, after)):
                self._put_right(command, why, link.position)
        with self._store.reading() as connection:
            links, run = _links(connection, run_id), _run(connection, run_id)
        now = self._standing(run_id, links)
        if not now.is_of(run):
            claimed = run.request if run.request != now.request and run.request else "resume"
            self._put_right(CommandRequest(run_id, claimed), NO_EVENT)

    def why_not_attested(self, command: CommandRequest, kind: EventKind, row_id: str) -> str:
        """Reason for which a message or an answer does not count; empty if it does.

        Args:
            command: The command that its row claims.
            kind: Kind of the event that must vouch for it.
            row_id: Id of the message or of the question.
        """
        with self._store.reading() as connection:
            links = _links(connection, command.run)
        for link, recorded, after in reversed(list(commands_in(command.run, links))):
            if link.kind == kind and row_id in link.payload.values():
                if (recorded.actor, recorded.arguments) != (command.actor, command.arguments):
                    return "its row says something else than its event"
                return self._why_refused(link, recorded, after)
        return NO_EVENT

    def _rules_of(self, run_id: str) -> tuple[CommandAuthority | None, AllowedSigners | None]:
        if run_id not in self._rules:
            rules = command_rules_of(self._stored_policy(run_id))
            signers = None
            if rules is not None and rules.allowed_signers:
                signers = AllowedSigners.from_canonical(self._artifacts.text(rules.allowed_signers))
            self._rules[run_id] = rules, signers
        return self._rules[run_id]

    def _stored_policy(self, run_id: str) -> str:
        """The policy that was stored when a run was accepted, by the run's first event and whatever its row says."""
        table = schema.events
        with self._store.reading() as connection:
            row = connection.execute(select(table).where(table.c.id == f"{run_id}/1")).mappings().first()
        if row is None:
            raise NotFound(f"there is no run {run_id}", remedy="List the runs with `phasegate runs`.")
        first = Link.of(row)
        if first is not None and row["previous"] == GENESIS:
            for name in first.payload["rows"]:
                stored, _, digest = name.partition("/")
                if stored != "artifacts":
                    continue
                content = self._artifacts.text(digest)
                if read_stored_json(content)["kind"] == "policy":
                    return content
        raise TrailBroken(f"run {run_id} is not what was accepted", remedy="`phasegate audit` says more.")

    def _why_refused(self, link: Link, command: CommandRequest, after: str) -> str:
        """Reason for which an event's command does not count; empty if it does."""
        rules, signers = self._rules_of(command.run)
        if rules is None:
            return ""
        if link.hash not in self._refusals:
            try:
                check_command(command, rules, signers, after=after, at=self._time_of(command.run, link))
            except NotAllowed as error:
                self._refusals[link.hash] = error.message
            else:
                self._refusals[link.hash] = ""
        return self._refusals[link.hash]

    def _time_of(self, run_id: str, link: Link) -> datetime:
        """Time of an event, or of an earlier one that says a later time: time only goes forward here."""
        table = schema.events.c
        latest = select(func.max(table.at)).where(table.run_id == run_id, table.position <= link.position)
        with self._store.reading() as connection:
            return datetime.fromisoformat(str(connection.execute(latest).scalar()))

    def _standing(self, run_id: str, links: Sequence[Link]) -> Standing:
        refused = {
            link.position
            for link, command, after in commands_in(run_id, links)
            if self._why_refused(link, command, after)
        }
        return standing(run_id, links, lambda link: link.position not in refused)

    def _put_right(self, command: CommandRequest, why: str, event: int | None = None) -> None:
        """Record a refusal, and give the run's row what its events say in the same change."""
        payload = refusal(command, why, event)
        with self._store.change(command.run, EventKind.COMMAND_REFUSED, actor="engine", payload=payload) as change:
            now = self._standing(command.run, _links(change.connection, command.run))
            run = _run(change.connection, command.run)
            if event is None and now.is_of(run):  # a person gave a command since
                change.abort()
            values: dict[str, Any] = {"request": now.request}
            if run.status != now.status:
                values |= {"status": now.status, "reason": now.reason}
                values |= {"wake_at": None} if now.status in HALTED else {}
                values |= {"finished_at": now.at} if now.status in ENDED else {}
            change.update(schema.runs, command.run, **values)


def _links(connection: Connection, run_id: str) -> list[Link]:
    """Events that say where a run stands, in order, without those whose content does not have its hash."""
    table = schema.events
    kinds = sorted({*STANDING_KINDS, EventKind.RUN_ACCEPTED})
    query = select(table).where(table.c.run_id == run_id, table.c.kind.in_(kinds)).order_by(table.c.position)
    links = (Link.of(row) for row in connection.execute(query).mappings())
    return [link for link in links if link is not None]


def _run(connection: Connection, run_id: str) -> Run:
    return Run.model_validate(
        dict(connection.execute(select(schema.runs).where(schema.runs.c.id == run_id)).mappings().one())
    )
