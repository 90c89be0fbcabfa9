"""Gates and decisions: the only place where a gate can be found open or passed.

A gate is bound to the digests of its subject. A decision counts only for the gate it names, only while the digests are
equal, and only from a person whom the policy at the base commit lets decide (P4, P5).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import select

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.errors import NotAllowed, NotFound
from phasegate.infra.identity import Person
from phasegate.infra.ledger import schema
from phasegate.infra.ledger.records import Decision, Gate, GateStatus, Run, Verdict
from phasegate.infra.ledger.store import Change, Store, new_id

_CONCLUSION: Mapping[Verdict, GateStatus] = {"approve": "approved", "revise": "revised", "reject": "rejected"}


def subject_digest(gate: str, number: int, subject: Mapping[str, str]) -> str:
    """What a decision is bound to: the gate, the round, and every digest of the subject."""
    return sha256(canonical_json({"gate": gate, "number": number, "subject": dict(subject)}))


class Gates:
    """The `gates` and `decisions` sections of the ledger."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def open(
        self,
        run: Run,
        gate: str,
        number: int,
        *,
        subject: Mapping[str, str],
        roles: Sequence[str],
        quorum: int,
        exclude_requester: bool,
        expires: timedelta,
    ) -> Gate:
        """The gate for this subject: found if it stands already, opened otherwise.

        An open or approved gate of the same round about another subject is voided first; an expired one is closed.

        Args:
            run: Whose gate.
            gate: Its name.
            number: The round: how often this gate has been asked in this run.
            subject: Name to digest of everything that is to be decided on.
            roles: People who may decide, by name; empty: anyone.
            quorum: How many of them must approve.
            exclude_requester: Whether the requester may not.
            expires: How long it stays open.
        """
        digest = subject_digest(gate, number, subject)
        for known in self.list(run.id):
            if (known.gate, known.number) != (gate, number) or known.status in {"void", "expired"}:
                continue
            if known.status == "open" and known.expires_at <= self._store.clock.now():
                self._close(known, "expired")
            elif known.subject_digest == digest:
                return known
            else:
                self._close(known, "void")
        gate_id, now = new_id("gate"), self._store.clock.now()
        payload = {"gate": gate, "number": number, "subject": dict(subject)}
        with self._store.change(run.id, "gate.opened", actor="engine", payload=payload) as change:
            change.insert(
                schema.gates,
                id=gate_id,
                run_id=run.id,
                gate=gate,
                number=number,
                subject=dict(subject),
                subject_digest=digest,
                roles=list(roles),
                quorum=quorum,
                exclude_requester=int(exclude_requester),
                requester=run.requester,
                nonce=secrets.token_hex(16),
                status="open",
                opened_at=now,
                expires_at=now + expires,
            )
            change.update(schema.runs, run.id, status="waiting")
        return self.get(gate_id)

    def decide(self, gate_id: str, verdict: Verdict, person: Person, *, note: str = "", standing: bool = False) -> Gate:
        """Record a person's decision, and conclude the gate when it is enough.

        Raises:
            NotAllowed: The gate is not open, has expired, the run is being ended, or this person may not decide it.
        """
        run_id = self.get(gate_id).run_id
        payload = {"gate": gate_id, "verdict": verdict, "note": note, "standing": standing}
        with self._store.change(run_id, "gate.decided", actor=person.name, payload=payload) as change:
            gate = _gate(change, gate_id)
            self._authorise(gate, person)
            if any(decision.approver == person.name for decision in _decisions(change, gate_id)):
                raise NotAllowed(f"{person.name} has decided gate {gate.gate} already")
            change.insert(
                schema.decisions,
                id=new_id("decision"),
                run_id=run_id,
                gate_id=gate_id,
                subject_digest=gate.subject_digest,
                verdict=verdict,
                approver=person.name,
                identity=person.identity,
                standing=int(standing),
                note=note,
                decided_at=self._store.clock.now(),
            )
            payload["subject"] = gate.subject_digest
            approvals = sum(decision.verdict == "approve" for decision in _decisions(change, gate_id))
            if verdict != "approve" or approvals >= gate.quorum:
                change.update(schema.gates, gate_id, status=_CONCLUSION[verdict])
                change.update(schema.runs, run_id, status="running")
        return self.get(gate_id)

    def ruling(self, gate: Gate, subject: Mapping[str, str]) -> Decision | None:
        """What the decisions on a gate amount to for this subject, checked anew; None: nothing yet.

        Never read from the gate's status, nor from anything Prefect says: only decisions that name this gate and these
        digests, by people who may decide, count.
        """
        digest = subject_digest(gate.gate, gate.number, subject)
        counted = [
            decision
            for decision in self.decisions(gate.run_id)
            if decision.gate_id == gate.id
            and decision.subject_digest == digest == gate.subject_digest
            and _may_decide(gate, decision.approver)
        ]
        against = [decision for decision in counted if decision.verdict != "approve"]
        if against:
            return against[0]
        return counted[-1] if len(counted) >= gate.quorum else None

    def get(self, gate_id: str) -> Gate:
        """The gate with this id.

        Raises:
            NotFound: There is none.
        """
        with self._store.reading() as connection:
            row = connection.execute(select(schema.gates).where(schema.gates.c.id == gate_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no gate {gate_id}")
        return Gate.model_validate(dict(row))

    def list(self, run_id: str) -> list[Gate]:
        """A run's gates in the order they were opened."""
        query = select(schema.gates).where(schema.gates.c.run_id == run_id).order_by(schema.gates.c.opened_at)
        with self._store.reading() as connection:
            return [Gate.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def waiting(self, run_id: str) -> Sequence[Gate]:
        """A run's gates that wait for a decision."""
        return [gate for gate in self.list(run_id) if gate.status == "open"]

    def decisions(self, run_id: str) -> Sequence[Decision]:
        """A run's decisions in the order they were made."""
        query = (
            select(schema.decisions).where(schema.decisions.c.run_id == run_id).order_by(schema.decisions.c.decided_at)
        )
        with self._store.reading() as connection:
            return [Decision.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def _authorise(self, gate: Gate, person: Person) -> None:
        if gate.status != "open":
            raise NotAllowed(f"gate {gate.gate} is {gate.status}, not open", remedy="See `phasegate show`.")
        if gate.expires_at <= self._store.clock.now():
            raise NotAllowed(
                f"gate {gate.gate} expired on {gate.expires_at:%Y-%m-%d %H:%M} UTC",
                remedy="`phasegate up` lets the engine open it anew.",
            )
        if gate.exclude_requester and person.name == gate.requester:
            raise NotAllowed(
                f"{person.name} asked for this run, and policy excludes the requester from gate {gate.gate}"
            )
        if not _may_decide(gate, person.name):
            raise NotAllowed(f"{person.name} may not decide gate {gate.gate}: it needs one of {', '.join(gate.roles)}")

    def _close(self, gate: Gate, status: GateStatus) -> None:
        with self._store.change(gate.run_id, f"gate.{status}", actor="engine", payload={"gate": gate.id}) as change:
            change.update(schema.gates, gate.id, status=status)


def _may_decide(gate: Gate, name: str) -> bool:
    if gate.exclude_requester and name == gate.requester:
        return False
    return not gate.roles or name in gate.roles


def _gate(change: Change, gate_id: str) -> Gate:
    row = change.one(schema.gates, gate_id)
    if row is None:
        raise NotFound(f"there is no gate {gate_id}")
    return Gate.model_validate(dict(row))


def _decisions(change: Change, gate_id: str) -> list[Decision]:
    query = select(schema.decisions).where(schema.decisions.c.gate_id == gate_id)
    return [Decision.model_validate(dict(row)) for row in change.connection.execute(query).mappings()]
