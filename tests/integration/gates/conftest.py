"""People with SSH keys, and a ledger whose gates take their signatures; real ssh-keygen."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.ledgers import accepted, forge, policy_with

from phasegate.infra.clock import FixedClock
from phasegate.infra.identity import COMMAND_NAMESPACE, DECISION_NAMESPACE, AllowedSigners, Person, SigningKey, sign
from phasegate.infra.ledger import Gate, Ledger, Run
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.authorization import statement
from phasegate.infra.ledger.gates.commands import CommandRequest
from phasegate.infra.policy.commands import CommandName

SUBJECT = {"prd": "sha256:1", "policy": "sha256:2"}


@dataclass
class Keys:
    """People's keys, made when they are first asked for."""

    folder: Path
    made: dict[str, SigningKey] = field(default_factory=dict)

    def of(self, name: str) -> SigningKey:
        """A person's key."""
        if name not in self.made:
            path = self.folder / name
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
            self.made[name] = SigningKey(path.with_name(f"{name}.pub").read_text().strip(), path)
        return self.made[name]

    def line(self, name: str, options: str = "") -> str:
        """Their line in an allowed-signers file."""
        return f"{name} {options} {self.of(name).public}\n"


@dataclass
class Desk:
    """A ledger with its clock and its file."""

    ledger: Ledger
    clock: FixedClock
    file: Path
    keys: Keys

    def accept(self, run_id: str = "run-one", *, signers: AllowedSigners | None = None, **rules: Any) -> Run:
        """Accept a run that Ana asked for, whose gates have such rules."""
        policy = policy_with(**rules, allowed_signers=signers.digest if signers else "")
        return accepted(self.ledger, run_id, policy=policy, also=[signers] if signers else [])

    def gate(self, run: Run, number: int = 1, *, subject: Mapping[str, str] = SUBJECT) -> Gate:
        """Open gate `prd` of a run."""
        return self.ledger.gates.open(run, "prd", number, subject=subject)

    def signed_gate(self, run_id: str = "run-one", text: str = "", **rules: Any) -> Gate:
        """A gate at which Ana's and Bo's signatures count."""
        signers = AllowedSigners(text=text or self.keys.line("ana") + self.keys.line("bo"))
        run = self.accept(run_id, signers=signers, **rules)
        return self.gate(run, subject={**SUBJECT, AllowedSigners.kind: signers.digest})

    def signature(
        self, gate: Gate, name: str, *, key: str = "", namespace: str = DECISION_NAMESPACE, **said: Any
    ) -> str:
        """A person's signature over an approval of a gate, or over something that differs from it."""
        facts: dict[str, Any] = {"note": "", "override": False, "principal": name, **said}
        content = statement(gate, "approve", **facts).content()
        return sign(content, self.keys.of(key or name), namespace=namespace)

    def approve(self, gate: Gate, name: str, **changes: Any) -> Gate:
        """Approve a signed gate as a person would."""
        signature = changes.pop("signature", None) or self.signature(gate, name)
        return self.ledger.gates.decide(gate.id, "approve", Person(name, "ssh"), signature=signature, **changes)

    def signed_run(self, run_id: str = "run-one", text: str = "", **rules: Any) -> Run:
        """A run whose commands Ana and Bo sign."""
        signers = AllowedSigners(text=text or self.keys.line("ana") + self.keys.line("bo"))
        return self.accept(run_id, signers=signers, **rules)

    def command_signature(
        self,
        run: Run,
        command: CommandName,
        name: str,
        *,
        key: str = "",
        namespace: str = COMMAND_NAMESPACE,
        **given: Any,
    ) -> str:
        """A person's signature over a command to a run as it is now."""
        statement = self.ledger.commands.statement(CommandRequest(run.id, command, name, given))
        return sign(statement.content(), self.keys.of(key or name), namespace=namespace)

    def forge(self, run: Run, kind: EventKind, actor: str, **payload: Any) -> None:
        """As `forge`, on this ledger."""
        forge(f"sqlite:///{self.file}", run.id, kind, actor, payload, clock=self.clock)

    def rules(self, gate: Gate) -> str | None:
        """The verdict that counts at a gate."""
        ruling = self.ledger.gates.effective_decision(gate, gate.subject)
        return ruling.verdict if ruling else None

    def sql(self, command: str, *values: object) -> None:
        """Write to the database's file, as anyone who has it can."""
        with sqlite3.connect(self.file) as database:
            database.execute(command, values)
        database.close()

    def refusals(self, run_id: str = "run-one") -> list[str]:
        """Reasons of the refusals in the trail."""
        return [str(event.payload["why"]) for event in self.ledger.events(run_id) if event.kind.endswith(".refused")]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys for all tests: making them is slow."""
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def desk(tmp_path: Path, keys: Keys) -> Iterator[Desk]:
    """A fresh ledger whose clock stands still."""
    clock = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
    file = tmp_path / "ledger.db"
    ledger = Ledger.open(f"sqlite:///{file}", clock=clock)
    yield Desk(ledger, clock, file, keys)
    ledger.close()
