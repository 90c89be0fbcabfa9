"""P5: how far a permission holds is part of what is signed."""

from __future__ import annotations

import pytest
from tests.integration.gates.conftest import Desk

from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import AllowedSigners
from phasegate.infra.ledger import Gate


def permission(desk: Desk) -> Gate:
    """An open gate `permission`, at which Ana's and Bo's signatures count."""
    signers = AllowedSigners(text=desk.keys.line("ana") + desk.keys.line("bo"))
    return desk.ledger.gates.open(
        desk.accept(signers=signers),
        "permission",
        1,
        subject={"permission-request": "sha256:1", "policy": "sha256:2", AllowedSigners.kind: signers.digest},
    )


def test_one_for_the_stage_is_signed_as_one_and_counts(desk: Desk) -> None:
    gate = permission(desk)
    said = desk.signature(gate, "bo", for_stage=True)
    assert desk.approve(gate, "bo", signature=said, for_stage=True).status == "approved"
    assert desk.rules(gate) == "approve"
    (decision,) = desk.ledger.gates.decisions("run-one")
    assert (decision.approver, decision.identity, decision.for_stage) == ("bo", "ssh", True)


@pytest.mark.parametrize("signed_for_stage", [True, False])
def test_a_signature_for_one_call_is_none_for_the_stage_nor_the_other_way_round(
    desk: Desk, signed_for_stage: bool
) -> None:
    """Untried mutation: `DecisionStatement.content` leaves `for_stage` out."""
    gate = permission(desk)
    said = desk.signature(gate, "bo", for_stage=signed_for_stage)
    with pytest.raises(NotAllowed, match="of other bytes"):
        desk.approve(gate, "bo", signature=said, for_stage=not signed_for_stage)
    assert desk.rules(gate) is None


def test_one_call_permitted_is_not_made_a_stage_afterwards(desk: Desk) -> None:
    gate = permission(desk)
    desk.approve(gate, "bo", signature=desk.signature(gate, "bo"))
    desk.sql("UPDATE decisions SET for_stage = 1")
    assert desk.rules(gate) is None
