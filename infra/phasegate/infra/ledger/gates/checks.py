"""Checks of a decision against the run's policy, its chain and its signature, each time it is made or read (P4, P5).

Used by `gates`, which says what decisions amount to. It believes no row: rules come from the stored policy, times and
people from the chain, and a signer's name from ssh-keygen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import DECISION_NAMESPACE, AllowedSigners, signer_of
from phasegate.infra.ledger.artifacts import Artifacts
from phasegate.infra.ledger.chain import Chain, is_as_accepted
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.authorization import (
    GateRules,
    change_of,
    needs_signature,
    require_authorized,
    rules_of,
    statement_of,
)
from phasegate.infra.ledger.gates.rows import GateRows
from phasegate.infra.ledger.records import Decision, Gate, Run
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import Store
from phasegate.infra.ledger.trail_rows import DatabaseRows

ALTERED = "the gate's row was altered by something other than phasegate"


class GateChecks(GateRows):
    """Rows of gates and decisions, with checks of them."""

    def __init__(self, store: Store) -> None:
        """Check rows of a store."""
        super().__init__(store)
        self._artifacts = Artifacts(store)

    def rules(self, run_id: str, gate: str, subject: Mapping[str, str]) -> GateRules:
        """Rules of a gate by the run's stored policy, which alone says who may decide.

        Args:
            run_id: The run.
            gate: The gate's name.
            subject: Name to digest of everything that it asks about.

        Raises:
            TrailBroken: The stored policy, the change, or the run's row, is not what was accepted.
        """
        with self._store.reading() as connection:
            if not is_as_accepted(DatabaseRows(connection), run_id):
                raise TrailBroken(f"run {run_id} is not what was accepted", remedy="`phasegate audit` says more.")
            row = connection.execute(select(schema.runs).where(schema.runs.c.id == run_id)).mappings().one()
        run = Run.model_validate(dict(row))
        digest = change_of(gate, subject)
        change = self._artifacts.text(digest) if digest else ""
        return rules_of(run, self._artifacts.text(run.policy), gate, change)

    def check(self, gate: Gate, decision: Decision, rules: GateRules, *, at: datetime) -> None:
        """Stop unless a person may decide so, and is the person they claim to be.

        Args:
            gate: The gate.
            decision: The decision.
            rules: Rules of the gate.
            at: The time at which a signature must have been valid.

        Raises:
            NotAllowed: They may not.
        """
        rules.require_same(gate)
        require_authorized(gate, decision, rules)
        if not needs_signature(gate):
            if decision.identity != "local" or decision.signature:
                raise NotAllowed(f"gate {gate.gate} is decided by users of this machine, not by {decision.identity}")
            return
        if decision.standing or not decision.signature:
            raise NotAllowed(f"gate {gate.gate} takes signed decisions only", remedy="Decide with `phasegate approve`.")
        statement = statement_of(gate, decision)
        signer = signer_of(
            statement.content(),
            decision.signature,
            self.signers(gate),
            namespace=DECISION_NAMESPACE,
            at=at,
        )
        if decision.identity != "ssh" or signer != statement.principal:
            raise NotAllowed(f"the decision is {decision.approver}'s, but {signer} signed it")

    def check_recorded(self, gate: Gate, decision: Decision) -> datetime:
        """Stop unless the chain says that this decision was made, by this person, while the gate was open.

        Returns:
            The time at which it was made: of its event, or of an earlier event that says a later one.

        Raises:
            NotAllowed: The chain does not say so.
        """
        with self._store.reading() as connection:
            chain = Chain.since_opening(connection, gate.run_id, gate.id)
            if chain.attesting(connection, schema.gates, gate.id) is None:
                raise NotAllowed(ALTERED)
            link = chain.attesting(connection, schema.decisions, decision.id)
        kind = EventKind.GATE_OVERRIDDEN if decision.override else EventKind.GATE_DECIDED
        if link is None or (link.kind, link.actor, link.payload.get("gate")) != (kind, decision.approver, gate.id):
            raise NotAllowed("no event of the run says that this decision was made")
        recorded = (link.payload.get("for_stage", False), tuple(link.payload.get("tests", ())))
        if (decision.subject_digest, (decision.for_stage, decision.tests)) != (gate.subject_digest, recorded):
            raise NotAllowed("the decision is about something else than the gate, or than its event says")
        if not chain.was_open(gate.id, gate.expires_at, link):
            raise NotAllowed("the gate was not open when the decision was made")
        at = chain.time_of(link)
        if not chain.opened_at(gate.id) <= decision.decided_at <= at:
            raise NotAllowed("the decision claims a time at which it was not made")
        return at

    def signers(self, gate: Gate) -> AllowedSigners:
        """People whose signatures count at a gate: the file at the base commit, by the digest that the gate binds.

        Raises:
            NotAllowed: The stored file is not what the gate binds.
        """
        digest = gate.subject[AllowedSigners.kind]
        try:
            return AllowedSigners.from_canonical(self._artifacts.text(digest))
        except TrailBroken as error:
            raise NotAllowed("the run's allowed signers were altered by something other than phasegate") from error
