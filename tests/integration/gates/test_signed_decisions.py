"""P5 with identity `ssh`: a decision is a signature over exactly what was decided."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.gates.conftest import SUBJECT, Desk

from phasegate.infra.errors import ConfigError, NotAllowed
from phasegate.infra.identity import AllowedSigners, DecisionStatement, Person, signatures
from phasegate.infra.ledger.gates.authorization import statement


def test_a_signed_approval_opens_the_gate(desk: Desk) -> None:
    gate = desk.signed_gate(people=["ana", "bo"])
    assert desk.approve(gate, "bo").status == "approved"
    assert desk.rules(gate) == "approve"
    (decision,) = desk.ledger.gates.decisions("run-one")
    assert (decision.approver, decision.identity) == ("bo", "ssh")
    assert decision.signature.startswith("-----BEGIN SSH SIGNATURE-----")


def test_the_signed_bytes_say_all_that_is_decided(desk: Desk) -> None:
    gate = desk.signed_gate()
    content = statement(gate, "approve", note="go", override=False, principal="bo").content()
    assert json.loads(content) == {
        "version": 1,
        "run": "run-one",
        "gate": gate.id,
        "name": "prd",
        "round": 1,
        "nonce": gate.nonce,
        "subject": {**SUBJECT, AllowedSigners.kind: gate.subject[AllowedSigners.kind]},
        "policy": "sha256:2",
        "verdict": "approve",
        "override": False,
        "note": "go",
        "principal": "bo",
    }
    assert DecisionStatement.from_content(content).content() == content


OTHER_BYTES: dict[str, dict[str, Any]] = {
    "another note": {"note": "not what is recorded"},
    "an override": {"override": True},
    "another principal": {"principal": "ana"},
    "another purpose": {"namespace": "git"},
}


@pytest.mark.parametrize("said", OTHER_BYTES.values(), ids=OTHER_BYTES)
def test_a_signature_of_other_bytes_is_refused(desk: Desk, said: dict[str, Any]) -> None:
    """P5. Mutation tried: `signer_of` returns the owner without `ssh-keygen -Y verify`."""
    gate = desk.signed_gate()
    with pytest.raises(NotAllowed, match="of other bytes"):
        desk.approve(gate, "bo", signature=desk.signature(gate, "bo", **said))
    assert desk.rules(gate) is None
    assert "of other bytes" in desk.refusals()[0]


def test_a_key_that_is_not_allowed_decides_nothing(desk: Desk) -> None:
    """P5. Mutation tried: the verified signer is not compared with the principal that decides."""
    gate = desk.signed_gate()
    with pytest.raises(NotAllowed, match="no key that is allowed"):
        desk.approve(gate, "bo", signature=desk.signature(gate, "bo", key="eve"))
    with pytest.raises(NotAllowed, match=r"of other bytes|ana signed it"):
        desk.approve(gate, "bo", signature=desk.signature(gate, "bo", key="ana"))
    assert desk.rules(gate) is None


def test_another_file_than_the_signature_is_called_that(desk: Desk) -> None:
    signers = desk.ledger.gates.signers(desk.signed_gate())
    for given in (desk.keys.of("bo").public, '{"gate":"gate-1"}', ""):
        with pytest.raises(NotAllowed, match="no SSH signature") as refused:
            signatures.owner_of(given, signers, at=desk.clock.now())
        assert ".sig file" in refused.value.remedy


@pytest.mark.parametrize("signature", ["", "not a signature", "-----BEGIN SSH SIGNATURE-----\nAAAA\n"])
def test_without_a_signature_nothing_is_decided(desk: Desk, signature: str) -> None:
    gate = desk.signed_gate()
    with pytest.raises(NotAllowed):
        desk.ledger.gates.decide(gate.id, "approve", Person("bo", "local"), signature=signature)
    assert desk.rules(gate) is None


def test_a_signature_does_not_open_the_same_gate_of_another_run(desk: Desk) -> None:
    """P4. Mutation tried: the statement without run, gate and nonce."""
    first, second = desk.signed_gate("run-one"), desk.signed_gate("run-two")
    with pytest.raises(NotAllowed, match="of other bytes"):
        desk.approve(second, "bo", signature=desk.signature(first, "bo"))


@pytest.mark.parametrize(
    "change", ["verdict = 'reject'", "note = 'x'", "approver = 'ana'", "signature = ''", "identity = 'local'"]
)
def test_a_decision_altered_later_counts_no_more(desk: Desk, change: str) -> None:
    """P5. What a person signed, and what its event vouches for, is the whole row."""
    gate = desk.signed_gate()
    desk.approve(gate, "bo")
    desk.sql(f"UPDATE decisions SET {change}")
    assert desk.rules(gate) is None
    assert len(desk.refusals()) == 1


def test_the_signature_is_verified_at_every_reading(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5. An event that vouches for the row does not stand in for the signature.

    Mutation tried: `ruling` without `_check`.
    """
    gate = desk.signed_gate()
    with monkeypatch.context() as patch:
        patch.setattr("phasegate.infra.ledger.gates.checks.signer_of", lambda *_, **__: "bo")
        desk.approve(gate, "bo", signature=desk.signature(gate, "bo", key="eve"))
        assert desk.rules(gate) == "approve"
    assert desk.rules(gate) is None


def test_the_signers_are_those_of_the_base_commit(desk: Desk) -> None:
    """P5. Mutation tried: `signers` without comparing the digest."""
    gate = desk.signed_gate()
    forged = AllowedSigners(text=desk.keys.line("eve"))
    desk.sql("UPDATE artifacts SET content = ? WHERE id = ?", forged.canonical(), gate.subject[AllowedSigners.kind])
    with pytest.raises(NotAllowed, match="allowed signers were altered"):
        desk.approve(gate, "eve")


def test_a_key_counts_while_it_is_valid_and_what_it_signed_then_counts_ever_after(desk: Desk) -> None:
    """Mutation tried: verify-time is the time of reading."""
    gate = desk.signed_gate(text=desk.keys.line("bo", 'valid-before="20261201"'), quorum=1, expires=timedelta(days=90))
    late = desk.signed_gate("run-two", desk.keys.line("bo", 'valid-before="20261201"'), expires=timedelta(days=90))
    desk.approve(gate, "bo")
    desk.clock.advance(timedelta(days=30))
    assert desk.rules(gate) == "approve"
    with pytest.raises(NotAllowed, match="no key that is allowed"):
        desk.approve(late, "bo")


def test_one_key_under_two_names_is_one_person(desk: Desk) -> None:
    """P5. Mutation tried: the principal is taken from the statement instead of from the file."""
    key = desk.keys.of("bo").public
    gate = desk.signed_gate(text=f"bo {key}\ncy {key}\n", quorum=2)
    desk.approve(gate, "bo")
    with pytest.raises(NotAllowed):
        desk.approve(gate, "cy", signature=desk.signature(gate, "cy", key="bo"))
    assert desk.rules(gate) is None


def test_a_pattern_of_principals_names_nobody(desk: Desk) -> None:
    gate = desk.signed_gate(text=f"*@example.org {desk.keys.of('bo').public}\n")
    with pytest.raises(NotAllowed, match="no key that is allowed"):
        desk.approve(gate, "bo@example.org", signature=desk.signature(gate, "bo@example.org", key="bo"))


def test_a_standing_decision_does_not_count_where_decisions_are_signed(desk: Desk) -> None:
    gate = desk.signed_gate()
    with pytest.raises(NotAllowed, match="signed decisions only"):
        desk.ledger.gates.decide(gate.id, "approve", Person("ana", "local"), standing=True)


def test_a_signed_override_is_one(desk: Desk) -> None:
    gate = desk.signed_gate(quorum=2, admins=["bo"])
    said = desk.signature(gate, "bo", override=True, note="the site is down")
    with pytest.raises(NotAllowed, match="of other bytes"):
        desk.approve(gate, "bo", signature=said, note="the site is down")
    desk.approve(gate, "bo", signature=said, note="the site is down", override=True)
    assert desk.rules(gate) == "approve"


def test_without_ssh_keygen_the_message_says_what_to_install(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = desk.signed_gate()
    signature = desk.signature(gate, "bo")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="ssh-keygen is not installed"):
        desk.approve(gate, "bo", signature=signature)
    assert signatures.DECISION_NAMESPACE == "phasegate-decision"
