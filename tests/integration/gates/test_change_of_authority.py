"""P5: a change of who decides is decided by admins, whatever the gate's own rules and row say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.gates.conftest import SUBJECT, Desk
from tests.ledgers import accepted, policy_with

from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Gate
from phasegate.infra.workspace import ChangeSet


def change(*files: str) -> ChangeSet:
    """A change with these files among those that decide who decides."""
    known = {"base_commit": "0" * 40, "commit": "1" * 40, "tree": "2" * 40, "branch": "phasegate/r1", "files": ()}
    return ChangeSet(**known, summary="Do it", diff_digest="sha256:0", authority_files=files)


def at_change_gate(desk: Desk, *files: str, **rules: Any) -> Gate:
    """Gate `change` of a run that made such a change."""
    made = change(*files)
    run = accepted(desk.ledger, policy=policy_with(**rules), also=[made])
    return desk.ledger.gates.open(run, "change", 1, subject={**SUBJECT, "change-set": made.digest})


def approve(desk: Desk, gate: Gate, name: str) -> str | None:
    """Approve as a user of this machine; the verdict that counts then."""
    desk.ledger.gates.decide(gate.id, "approve", Person(name, "local"))
    return desk.rules(gate)


def test_only_an_admin_decides_about_a_change_of_who_decides(desk: Desk) -> None:
    """Mutation tried: `rules_of` without the change."""
    gate = at_change_gate(desk, "phasegate.toml", people=["bo", "cy"], quorum=2, admins=["eve"])
    assert (gate.roles, gate.quorum) == (("eve",), 1)
    with pytest.raises(NotAllowed, match=r"the change decides who decides \(phasegate.toml\), and it needs one of eve"):
        approve(desk, gate, "bo")
    assert desk.rules(gate) is None
    assert approve(desk, gate, "eve") == "approve"
    desk.ledger.audit("run-one")


@pytest.mark.parametrize("files", [(), ("phasegate.toml",)])
def test_without_an_admin_in_policy_the_gate_keeps_its_rules(desk: Desk, files: tuple[str, ...]) -> None:
    gate = at_change_gate(desk, *files, people=["bo"])
    assert gate.roles == ("bo",)
    assert approve(desk, gate, "bo") == "approve"


def test_an_ordinary_change_asks_whom_policy_names(desk: Desk) -> None:
    gate = at_change_gate(desk, people=["bo"], admins=["eve"])
    with pytest.raises(NotAllowed, match="it needs one of bo"):
        approve(desk, gate, "eve")
    assert approve(desk, gate, "bo") == "approve"


ROW = "UPDATE gates SET roles = '[\"bo\"]'"
CHANGE = "UPDATE artifacts SET content = replace(content, 'authority_files', 'x') WHERE content LIKE '%change-set%'"


@pytest.mark.parametrize("commands", [(ROW,), (CHANGE,), (ROW, CHANGE)], ids=["row", "change", "both"])
def test_neither_the_row_nor_the_stored_change_makes_others_deciders(desk: Desk, commands: tuple[str, ...]) -> None:
    """Mutation tried: `require_same` empty."""
    gate = at_change_gate(desk, "phasegate.toml", people=["bo"], admins=["eve"])
    for command in commands:
        desk.sql(command)
    with pytest.raises((NotAllowed, TrailBroken), match="altered"):
        approve(desk, desk.ledger.gates.get(gate.id), "bo")
    with pytest.raises(TrailBroken):
        desk.ledger.audit("run-one")


def test_a_stored_change_that_was_altered_gives_no_rules(desk: Desk) -> None:
    """Mutation tried: the change's digest unchecked."""
    gate = at_change_gate(desk, "phasegate.toml", people=["bo"], admins=["eve"])
    desk.sql(CHANGE)
    with pytest.raises(TrailBroken, match="was altered"):
        desk.ledger.gates.rules("run-one", "change", gate.subject)
