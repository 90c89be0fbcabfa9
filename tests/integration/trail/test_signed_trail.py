"""P5, P13: an audit verifies what people signed, in the ledger and in a bundle, with ssh-keygen alone.

The forger here may write the ledger and knows how its chain is made. Each change carries an event of its own, so that
only the signature is left to show that it is not the person's.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import delete, select
from tests.integration.gates.conftest import Keys
from tests.ledgers import Thing, accepted, policy_with

from phasegate.flows.cli.views.follow import Follower
from phasegate.flows.runs.audit_bundle import AuditReport, audit_bundle, audit_run, export_bundle
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact, canonical_json, sha256
from phasegate.infra.errors import ConfigError, TrailBroken
from phasegate.infra.identity import (
    COMMAND_NAMESPACE,
    DECISION_NAMESPACE,
    REQUEST_NAMESPACE,
    AllowedSigners,
    Person,
    sign,
)
from phasegate.infra.identity.attestation import AttestationKey
from phasegate.infra.ledger import Decision, Gate, Ledger, Origin, Run
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.authorization import statement
from phasegate.infra.ledger.gates.commands import replay_command
from phasegate.infra.ledger.storage import schema


class Request(Artifact):
    kind: ClassVar[str] = "request"
    principal: str
    facts: dict[str, str]
    signature: str


@dataclass
class Registry:
    """A ledger with a signed decision in it, and the keys of the people around it."""

    ledger: Ledger
    keys: Keys
    folder: Path

    def accept(self, run_id: str, *, asked_as: str = "ana", key: str = "ana", origin: str = "") -> Run:
        """Accept a run that Ana asked for, with her proof that it was her."""
        signers = AllowedSigners(text=self.keys.line("ana") + self.keys.line("bo"))
        ticket = Thing(name="ticket")
        policy = policy_with(exclude_requester=True, allowed_signers=signers.digest)
        facts = {"run": run_id, "base": "abc", "ticket": ticket.digest, "policy": policy.digest}
        content = canonical_json({**facts, "principal": asked_as}).encode()
        signature = sign(content, self.keys.of(key), namespace=REQUEST_NAMESPACE)
        went_back = Origin.model_validate({"run": origin, "from": "testing", "mode": "replay"}) if origin else None
        command = b"" if went_back is None else self.replay_content(run_id, went_back, asked_as)
        return accepted(
            self.ledger,
            run_id,
            ticket=ticket,
            policy=policy,
            repository=str(self.folder),
            requester=asked_as,
            origin=went_back,
            signature=sign(command, self.keys.of(key), namespace=COMMAND_NAMESPACE) if command else "",
            also=[signers, Request(principal=asked_as, facts=facts, signature=signature)],
        )

    def replay_content(self, run_id: str, origin: Origin, principal: str) -> bytes:
        """The bytes that the requester of a replay signs."""
        return self.ledger.commands.statement(replay_command(run_id, origin, principal)).content()

    def gate(self, run: Run, name: str = "prd", **changes: Any) -> Gate:
        """Open a gate that takes Ana's and Bo's signatures, but not the requester's."""
        policy = self.ledger.artifacts.get(run.policy, StoredPolicy)
        subject = {name: "sha256:1", "policy": run.policy, AllowedSigners.kind: policy.allowed_signers}
        return self.ledger.gates.open(run, name, 1, **{"subject": subject, **changes})

    def signature(self, gate: Gate, key: str) -> str:
        content = statement(gate, "approve", note="go", override=False, principal="bo").content()
        return sign(content, self.keys.of(key), namespace=DECISION_NAMESPACE)

    def approve(self, gate: Gate) -> Decision:
        """Approve as Bo does."""
        self.ledger.gates.decide(
            gate.id, "approve", Person("bo", "ssh"), note="go", signature=self.signature(gate, "bo")
        )
        return next(one for one in self.ledger.gates.decisions(gate.run_id) if one.gate_id == gate.id)

    def retell(self, decision: Decision, **columns: Any) -> None:
        """Change a decision, and have an event vouch for it in the approver's name."""
        gate = columns.get("gate_id", decision.gate_id)
        payload = {"gate": gate, "verdict": decision.verdict, "note": columns.get("note", decision.note)}
        change = self.ledger._store.change(
            decision.run_id, EventKind.GATE_DECIDED, actor=decision.approver, payload=payload
        )
        with change as written:
            written.update(schema.decisions, decision.id, **columns)

    def says(self, run_id: str) -> str:
        """Result of a run's audit, which is the same in the ledger and in a bundle."""
        run = self.ledger.runs.get(run_id)
        bundle = export_bundle(self.ledger, run, AttestationKey.open(self.folder / "key"))
        said: list[str] = []
        looks: list[Callable[[], AuditReport]] = [lambda: audit_run(self.ledger, run), lambda: audit_bundle(bundle)]
        for look in looks:
            try:
                said.append(f"holds, {look().trail.signatures} signatures")
            except TrailBroken as error:
                said.append(error.message)
        here, there = said
        assert here == there
        return here


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def registry(tmp_path: Path, keys: Keys) -> Iterator[Registry]:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield Registry(ledger, keys, tmp_path)
    ledger.close()


def test_what_people_signed_is_verified(registry: Registry) -> None:
    registry.approve(registry.gate(registry.accept("run-one")))
    assert registry.says("run-one") == "holds, 2 signatures"  # the requester's, and the approver's


def broken_armour(registry: Registry, decision: Decision) -> None:
    lines = decision.signature.splitlines()
    middle = lines[len(lines) // 2]
    lines[len(lines) // 2] = ("A" if middle[0] != "A" else "B") + middle[1:]
    registry.retell(decision, signature="\n".join(lines) + "\n")


def another_note(registry: Registry, decision: Decision) -> None:
    registry.retell(decision, note="stop")


def nobody_allowed(registry: Registry, decision: Decision) -> None:
    gate = registry.ledger.gates.get(decision.gate_id)
    registry.retell(decision, signature=registry.signature(gate, "eve"))


def somebody_else(registry: Registry, decision: Decision) -> None:
    gate = registry.ledger.gates.get(decision.gate_id)
    registry.retell(decision, signature=registry.signature(gate, "ana"))


def no_signature(registry: Registry, decision: Decision) -> None:
    registry.retell(decision, signature="", identity="local")


def to_another_gate(registry: Registry, decision: Decision) -> None:
    other = registry.gate(registry.ledger.runs.get(decision.run_id), "change")
    registry.retell(decision, gate_id=other.id, subject_digest=other.subject_digest)


def told_by_the_engine(registry: Registry, decision: Decision) -> None:
    with registry.ledger._store.change("run-one", EventKind.STAGE_STEP, actor="engine") as change:
        change.attest(schema.decisions, decision.id)


FORGERIES: dict[str, tuple[Callable[[Registry, Decision], None], str]] = {
    "a tampered signature": (broken_armour, "signature"),
    "what was signed": (another_note, "the signature by bo is invalid"),
    "a signer who is not allowed": (nobody_allowed, "by no key that is allowed"),
    "another signer who is": (somebody_else, "but ana signed it"),
    "no signature at all": (no_signature, "is no SSH signature"),
    "a decision moved to another gate": (to_another_gate, "the signature by bo is invalid"),
    "a decision no person's event tells": (told_by_the_engine, "its event says something else"),
}


@pytest.mark.parametrize(("forge", "says"), FORGERIES.values(), ids=FORGERIES)
def test_the_audit_names_the_decision_that_is_forged(
    registry: Registry, forge: Callable[[Registry, Decision], None], says: str
) -> None:
    """P5, P13. Mutations tried: `signer_of` not asked (six fail), not compared; `_check_recorded` left out."""
    decision = registry.approve(registry.gate(registry.accept("run-one")))
    forge(registry, decision)
    said = registry.says("run-one")
    assert (f"does not hold at decisions/{decision.id}:" in said, says in said) == (True, True), said


@pytest.mark.parametrize("named", [True, False], ids=["other signers", "no signers"])
def test_the_signers_are_those_the_policy_names(registry: Registry, named: bool) -> None:
    """P5. A forger with signers of their own has to change the policy too. Mutation tried: no `_check_gate`."""
    run = registry.accept("run-one")
    eve = AllowedSigners(text=registry.keys.line("eve").replace("eve ", "bo ", 1))
    subject = {"prd": "sha256:1", "policy": run.policy}
    gate = registry.gate(run, subject=subject | ({AllowedSigners.kind: eve.digest} if named else {}))
    assert f"gates/{gate.id}: it does not take the signatures" in registry.says("run-one")


def test_a_gate_that_no_decision_passed_is_named(registry: Registry) -> None:
    """P5. Mutation tried: `_check_conclusion` left out."""
    gate = registry.gate(registry.accept("run-one"))
    with registry.ledger._store.change("run-one", EventKind.GATE_DECIDED, actor="bo") as change:
        change.update(schema.gates, gate.id, status="approved")
    assert f"gates/{gate.id}: it is approved, and no decisions say so" in registry.says("run-one")


@pytest.mark.parametrize(("key", "said"), [("bo", "but bo signed that"), ("eve", "by no key that is allowed")])
def test_a_requester_who_was_somebody_else_is_named(registry: Registry, key: str, said: str) -> None:
    """P5. Mutation tried: the request's signature not verified."""
    registry.gate(registry.accept("run-one", key=key))
    assert registry.says("run-one").startswith("the audit trail does not hold at runs/run-one: ")
    assert said in registry.says("run-one")


def test_a_requester_who_proved_nothing_is_named(registry: Registry) -> None:
    run = registry.accept("run-one")
    registry.gate(run)
    digest = next(
        row["id"] for row in registry.ledger.exported("run-one")["artifacts"] if '"kind":"request"' in row["content"]
    )
    with registry.ledger._store.engine.begin() as connection:
        (payload,) = connection.execute(
            select(schema.events.c.payload).where(schema.events.c.id == "run-one/1")
        ).scalars()
        assert digest in payload
        connection.execute(delete(schema.artifacts).where(schema.artifacts.c.id == digest))
    assert f"artifacts/{digest}: the row is gone" in registry.says("run-one")


def test_a_carried_approval_is_verified_where_it_was_given(registry: Registry) -> None:
    """P5, P13. The bundle of a replay brings the trail of the run it replays.

    Mutation tried: `audit_run` not auditing the run that is replayed.
    """
    decision, _ = _carried(registry)
    assert registry.says("run-two") == "holds, 2 signatures"
    nobody_allowed(registry, decision)
    assert f"does not hold at decisions/{decision.id}:" in registry.says("run-two")


def test_a_carried_approval_is_of_the_run_that_is_replayed(registry: Registry) -> None:
    """P4. An event that claims to carry the approval of any other run opens nothing, and the audit names the gate.

    Mutations tried: `_inherited_from` and `_check_inherited` not comparing the runs, each.
    """
    first = registry.accept("run-one")
    registry.approve(registry.gate(first))
    approved = registry.ledger.gates.list("run-one")[0]
    third = registry.accept("run-three")
    gate = registry.gate(third, subject=approved.subject)
    payload = {"gate": gate.id, "from": approved.id, "verdict": "approve"}
    with registry.ledger._store.change("run-three", EventKind.GATE_CARRIED, actor="engine", payload=payload) as change:
        change.update(schema.gates, gate.id, status="approved")
    assert registry.ledger.gates.effective_decision(gate, gate.subject) is None
    with pytest.raises(TrailBroken, match=f"gates/{gate.id}: the answer it carries is of run-one"):
        registry.ledger.audit("run-three")


def test_whoever_follows_a_run_does_not_stop_where_an_answer_is_at_hand(registry: Registry) -> None:
    """A gate opens first, and gets its answer given in advance a moment later: nothing waits for a person meanwhile.

    Mutation tried: `Gates.open` not heeding `waits`.
    """
    run = registry.accept("run-one")
    registry.ledger.runs.set_status(run.id, "running")
    follower = Follower(registry.ledger, run.id, lambda: True)
    registry.gate(run, waits=False)
    assert not follower.stopped(registry.ledger.runs.get(run.id))
    registry.gate(run, "change")
    assert follower.stopped(registry.ledger.runs.get(run.id))


def test_without_ssh_keygen_nothing_is_called_verified(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    run = registry.accept("run-one")
    registry.approve(registry.gate(run))
    (registry.folder / "bin").mkdir()
    (registry.folder / "bin" / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(registry.folder / "bin"))
    with pytest.raises(ConfigError, match="ssh-keygen is not installed"):
        audit_run(registry.ledger, run)


def _carried(registry: Registry) -> tuple[Decision, Gate]:
    """A run approved by Bo, and its replay, whose gate carries that."""
    first = registry.accept("run-one")
    decision = registry.approve(registry.gate(first))
    second = registry.accept("run-two", origin="run-one")
    gate = registry.ledger.gates.inherit(registry.gate(second), "run-one")
    assert gate.status == "approved"
    assert sha256(canonical_json(gate.subject)) == sha256(
        canonical_json(registry.ledger.gates.list("run-one")[0].subject)
    )
    return decision, gate
