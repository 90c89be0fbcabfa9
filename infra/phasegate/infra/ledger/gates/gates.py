"""Gates and decisions: the only place where a gate can be found open or passed.

A gate is bound to the digests of its subject. A decision counts only for the gate it names, only while the digests are
equal, only from a person whom the policy at the base commit lets decide, and only when the run's chain, and with
identity `ssh` a signature, vouch for it (P4, P5). What does not count is refused, and the refusal is an event.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import Person
from phasegate.infra.ledger.chain import Chain
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of
from phasegate.infra.ledger.gates.authorization import (
    GateRules,
    needs_signature,
    require_accepted,
    require_authorized,
    require_open,
    subject_digest,
)
from phasegate.infra.ledger.gates.checks import ALTERED, GateChecks
from phasegate.infra.ledger.gates.rows import decisions_in, gate_in, is_attested
from phasegate.infra.ledger.records import Decision, Gate, GateStatus, Run, Verdict
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.store import new_id

_CONCLUSION: Mapping[Verdict, GateStatus] = {"approve": "approved", "revise": "revised", "reject": "rejected"}
CLOSED: frozenset[GateStatus] = frozenset({"void", "expired", "outdated"})


class Gates(GateChecks):
    """The `gates` and `decisions` sections of the ledger."""

    def open(
        self,
        run: Run,
        gate: str,
        number: int,
        *,
        subject: Mapping[str, str],
        waits: bool = True,
    ) -> Gate:
        """The gate for this subject: found if it stands already, opened otherwise.

        One of the same round about another subject, or whose row was altered, is voided first; an expired one closed.
        Who may decide, and for how long, is as the run's policy says.

        Args:
            run: Whose gate.
            gate: Its name.
            number: The round: how often this gate has been asked in this run.
            subject: Name to digest of everything that is to be decided on.
            waits: True if the run waits for a person from now on; not where an answer may be at hand.
        """
        digest, rules = subject_digest(gate, number, subject), self.rules(run.id, gate, subject)
        for earlier in self.list(run.id):
            if (earlier.gate, earlier.number) != (gate, number) or earlier.status in CLOSED:
                continue
            if not self.is_attested(earlier) or not rules.are_of(earlier):
                self.void(earlier, ALTERED)
            elif earlier.status == "open" and self.has_expired(earlier):
                self._close(earlier, "expired")
            elif earlier.subject_digest == digest:
                return earlier
            else:
                self._close(earlier, "void")
        gate_id, now = new_id("gate"), self._store.clock.now()
        payload = payloads.GateOpened(gate=gate, number=number, subject=dict(subject))
        with self._store.change(run.id, EventKind.GATE_OPENED, actor="engine", payload=payload) as change:
            change.insert(
                schema.gates,
                id=gate_id,
                run_id=run.id,
                gate=gate,
                number=number,
                subject=dict(subject),
                subject_digest=digest,
                roles=list(rules.people or ()),
                quorum=rules.quorum,
                exclude_requester=int(rules.exclude_requester),
                requester=rules.requester,
                nonce=secrets.token_hex(16),
                status="open",
                opened_at=now,
                expires_at=now + rules.expires,
            )
            if waits:
                change.update(schema.runs, run.id, status="waiting")
        return self.get(gate_id)

    def decide(
        self,
        gate_id: str,
        verdict: Verdict,
        person: Person,
        *,
        note: str = "",
        standing: bool = False,
        override: bool = False,
        for_stage: bool = False,
        tests: Sequence[str] = (),
        signature: str = "",
    ) -> Gate:
        """Record a person's decision, and conclude the gate when it is enough.

        Args:
            gate_id: The gate.
            verdict: The answer.
            person: Whose.
            note: What they say with it.
            standing: Given in advance, by the requester.
            override: Passes the gate whatever its roles and quorum say; needs an admin, and a note that says why.
            for_stage: True if a permission holds for the rest of the stage.
            tests: Regressions that an approval accepts, or amendments that a revision strikes.
            signature: Over the canonical decision, where identity is `ssh`.

        Raises:
            NotAllowed: The gate is not open, has expired, the run is being ended, this person may not decide it, or
                the signature does not hold. The refusal is on record.
        """
        gate = self.get(gate_id)
        decision = Decision(
            id=new_id("decision"),
            run_id=gate.run_id,
            gate_id=gate_id,
            subject_digest=gate.subject_digest,
            verdict=verdict,
            approver=person.name,
            identity="ssh" if needs_signature(gate) else person.identity,
            standing=standing,
            override=override,
            note=note,
            signature=signature,
            for_stage=for_stage,
            tests=tuple(tests),
            decided_at=self.now_in(gate.run_id),
        )
        try:
            rules = self.rules(gate.run_id, gate.gate, gate.subject)
            self.check(gate, decision, rules, at=decision.decided_at)
            self._record(decision, rules)
        except NotAllowed as error:
            self.refuse(gate, error.message, decision=decision, actor=person.name)
            raise
        return self.get(gate_id)

    def effective_decision(
        self, gate: Gate, subject: Mapping[str, str], *, accepting: Sequence[str] = ()
    ) -> Decision | None:
        """Effective decision of a gate for this subject, with all checks made again, or `None` if there is none yet.

        Never read from the gate's status, nor from anything Prefect says: only decisions that name this gate and these
        digests count, made while it was open by people who may decide, signed if need be, each vouched for by an event.

        An approval counts only if it accepts each of the regressions in `accepting` by name.

        Effects: one `decision.refused` event for each decision that does not count, once.
        """
        gate = self.get(gate.id)
        if subject_digest(gate.gate, gate.number, subject) != gate.subject_digest or gate.subject != dict(subject):
            return None
        if earlier := self._inherited_from(gate):
            return self._inherited(gate, earlier)
        rules = self.rules(gate.run_id, gate.gate, gate.subject)
        counted: list[Decision] = []
        for decision in self.decisions(gate.run_id):
            if decision.gate_id == gate.id:
                try:
                    at = self.check_recorded(gate, decision)
                    self.check(gate, decision, rules, at=at)
                    require_accepted(decision, accepting)
                except NotAllowed as error:
                    self.refuse(gate, error.message, decision=decision, actor="engine", stored=True)
                else:
                    counted.append(decision)
        against = [decision for decision in counted if decision.verdict != "approve"]
        overrides = [decision for decision in counted if decision.override]
        if against or overrides:
            return (against or overrides)[0]
        enough = len({decision.approver for decision in counted}) >= rules.quorum
        return counted[-1] if counted and enough else None

    def inherit(self, gate: Gate, origin: str) -> Gate:
        """Inherit an earlier run's answer to the very same question at a gate of its replay.

        Nothing is copied: the earlier run's decisions stay where they are, and are checked there at every reading. Not
        carried: a no, an override, accepted regressions, and an approval of the requester where policy excludes them.

        Args:
            gate: The replay's gate.
            origin: The earlier run.

        Effects:
            One `gate.carried` event when there is such an answer; a second call finds the gate concluded.
        """
        if gate.status != "open":
            return gate
        for earlier in self.list(origin):
            answer = self._inherited(gate, earlier)
            if answer is not None:
                payload = payloads.GateCarried({"gate": gate.id, "from": earlier.id, "verdict": answer.verdict})
                with self._store.change(gate.run_id, EventKind.GATE_CARRIED, actor="engine", payload=payload) as change:
                    change.update(schema.gates, gate.id, status=_CONCLUSION[answer.verdict])
                    change.update(schema.runs, gate.run_id, status="running")
                return self.get(gate.id)
        return gate

    def void(self, gate: Gate, why: str) -> None:
        """Close a gate that claims an answer no person gave.

        Effects: a `gate.refused` event that says why, and the gate is void.
        """
        self.note_once(gate, EventKind.GATE_REFUSED, {"why": why})
        self._close(gate, "void")

    def mark_stale(self, gate: Gate, why: str) -> None:
        """Close a round whose subject was made for a world that is another one now, whatever was decided in it.

        Effects: one `gate.outdated` event that says why; the run continues.
        """
        payload = payloads.GateOutdated(gate=gate.id, why=why)
        with self._store.change(gate.run_id, EventKind.GATE_OUTDATED, actor="engine", payload=payload) as change:
            change.update(schema.gates, gate.id, status="outdated")
            change.update(schema.runs, gate.run_id, status="running", reason=None)

    def refuse(
        self, gate: Gate, why: str, *, actor: str, decision: Decision | None = None, stored: bool = False
    ) -> None:
        """Record that a decision was refused; the same refusal once.

        Args:
            gate: What was to be decided.
            why: The reason.
            actor: Who tried; the engine when it found the decision in the ledger.
            decision: What was refused, as far as it is known.
            stored: True if it is a row of the ledger.
        """
        payload: dict[str, Any] = {"why": why}
        if decision is not None:
            payload |= {"verdict": decision.verdict, "by": decision.approver}
            payload |= {"decision": decision.id} if stored else {}
        self.note_once(gate, EventKind.DECISION_REFUSED, payload, actor=actor)

    def note_once(self, gate: Gate, kind: EventKind, payload: Mapping[str, Any], *, actor: str = "engine") -> None:
        """Append an event about a gate, unless the run has exactly that event already."""
        whole = {"gate": gate.id, "name": gate.gate, **payload}
        if not self._has_event(gate, kind, whole, actor):
            with self._store.change(gate.run_id, kind, actor=actor, payload=whole):
                pass

    def _has_event(self, gate: Gate, kind: EventKind, payload: Mapping[str, Any], actor: str) -> bool:
        table, body = schema.events.c, canonical_json({**payload, "rows": {}})
        query = select(table.id).where(
            table.run_id == gate.run_id, table.kind == kind, table.actor == actor, table.payload == body
        )
        with self._store.reading() as connection:
            return connection.execute(query).first() is not None

    def record_shown(self, gate: Gate, person: str) -> None:
        """Record that a person was shown what a gate asks about.

        Effects: one `gate.shown` event for each gate and person.
        """
        self.note_once(gate, EventKind.GATE_SHOWN, {"subject": gate.subject_digest}, actor=person)

    def was_shown(self, gate: Gate, person: str) -> bool:
        """True if a person was shown what a gate asks about, in this round."""
        shown = payloads.GateShown(gate=gate.id, name=gate.gate, subject=gate.subject_digest)
        return self._has_event(gate, EventKind.GATE_SHOWN, dict(shown), person)

    def _record(self, decision: Decision, rules: GateRules) -> None:
        """Write a decision that has been checked, unless the gate is not what it was any more."""
        payload = payloads.GateDecided(
            gate=decision.gate_id,
            verdict=decision.verdict,
            note=decision.note,
            standing=decision.standing,
            subject=decision.subject_digest,
        )
        if decision.for_stage:
            payload["for_stage"] = True
        if decision.tests:
            payload["tests"] = list(decision.tests)
        kind = EventKind.GATE_OVERRIDDEN if decision.override else EventKind.GATE_DECIDED
        with self._store.change(decision.run_id, kind, actor=decision.approver, payload=payload) as change:
            gate = gate_in(change, decision.gate_id)
            if gate.subject_digest != decision.subject_digest or not is_attested(change.connection, gate):
                raise NotAllowed(ALTERED, remedy="`phasegate audit` says more; the engine opens the gate anew.")
            require_open(gate, decision.decided_at)
            change.check_time = lambda at: require_open(gate, at)  # what counts later is the time of the event
            require_authorized(gate, decision, rules)
            earlier = decisions_in(change, gate.id)
            if any((other.approver, other.override) == (decision.approver, decision.override) for other in earlier):
                raise NotAllowed(f"{decision.approver} has decided gate {gate.gate} already")
            change.insert(schema.decisions, **decision.model_dump())
            approvals = 1 + sum(other.verdict == "approve" for other in earlier)
            if decision.verdict != "approve" or decision.override or approvals >= rules.quorum:
                change.update(schema.gates, gate.id, status=_CONCLUSION[decision.verdict])
                change.update(schema.runs, gate.run_id, status="running")

    def _inherited_from(self, gate: Gate) -> Gate | None:
        """The replayed run's gate whose answer holds at this one, or `None` if this gate was asked itself."""
        with self._store.reading() as connection:
            chain = Chain.since_opening(connection, gate.run_id, gate.id)
            link = chain.attesting(connection, schema.gates, gate.id)
        earlier = (
            self.get(payload_of(link, payloads.GateCarried)["from"])
            if link is not None and link.kind == EventKind.GATE_CARRIED
            else None
        )
        return earlier if earlier is not None and earlier.run_id == self.replayed_by(gate.run_id) else None

    def _inherited(self, gate: Gate, earlier: Gate) -> Decision | None:
        """The answer of an earlier run's gate, if it was given to the same question by people who may decide here."""
        if (earlier.gate, earlier.number, earlier.subject) != (gate.gate, gate.number, gate.subject):
            return None
        answer = self.effective_decision(earlier, gate.subject)
        if answer is None or answer.verdict == "reject" or answer.override or answer.named:
            return None
        behind = self._inherited_from(earlier)
        original = earlier if behind is None else self.get(answer.gate_id)
        rules = self.rules(gate.run_id, gate.gate, gate.subject)
        try:
            rules.require_same(gate)
            for decision in self.decisions(original.run_id):
                if decision.gate_id == original.id:
                    require_authorized(gate, decision, rules)
        except NotAllowed:
            return None
        return answer

    def _close(self, gate: Gate, status: GateStatus) -> None:
        with self._store.change(
            gate.run_id, EventKind(f"gate.{status}"), actor="engine", payload=payloads.GateClosed(gate=gate.id)
        ) as change:
            change.update(schema.gates, gate.id, status=status)
