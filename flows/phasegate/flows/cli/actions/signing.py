"""Signature at the command line: by the person's key, or from another machine (`--print`, `--signature`).

Used by the decisions and by the commands to a run. The ledger checks each signature and believes nothing from here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from phasegate.flows.cli.session import Session
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotAllowed, UsageError
from phasegate.infra.identity import (
    COMMAND_NAMESPACE,
    DECISION_NAMESPACE,
    AllowedSigners,
    Person,
    owner_of,
    sign,
    signing_key,
)
from phasegate.infra.ledger import Gate, Ledger, Run, Verdict
from phasegate.infra.ledger.gates.authorization import needs_signature, require_open, statement
from phasegate.infra.ledger.gates.commands import CommandRequest
from phasegate.infra.policy.commands import CommandName


@dataclass(frozen=True)
class SigningOptions:
    """Options of a signature.

    Attributes:
        key: The key's file; None for git's `user.signingKey`, or else the first allowed key of ssh-agent.
        signature: File of a signature that was made on another machine.
        principal: The signer that the printed bytes are for; empty for the key's owner.
        printing: True if the command only prints the bytes to sign.
    """

    key: Path | None = None
    signature: Path | None = None
    principal: str = ""
    printing: bool = False

    def require_unused(self) -> None:
        """Refuse signing options where nothing is signed.

        Raises:
            UsageError: Some were given.
        """
        if self != SigningOptions():
            raise UsageError(
                "this run's decisions and commands are not signed: its policy has identity.mode local",
                remedy="Leave out --key, --print, --as and --signature.",
            )


class Signable(Protocol):
    """A person's decision or command, before it is signed."""

    @property
    def run_id(self) -> str:
        """The run that it is about."""
        ...

    @property
    def namespace(self) -> str:
        """The purpose that it is signed for."""
        ...

    def content(self, principal: str) -> bytes:
        """The exact bytes this person signs."""
        ...

    def signers(self, ledger: Ledger) -> AllowedSigners | None:
        """People whose signatures count, or `None` where nothing is signed."""
        ...

    def require_open(self) -> None:
        """Stop if it would be refused whoever signs it."""
        ...

    def refuse(self, ledger: Ledger, why: str, *, actor: str) -> None:
        """Record that it was refused."""
        ...


@dataclass(frozen=True)
class DecisionAnswer:
    """A person's decision on a gate, before it is signed; a `Signable`.

    Attributes:
        gate: The gate.
        verdict: The verdict.
        note: The person's note.
        override: True if the decision goes against the gate's rules.
        for_stage: True if a permission holds for the rest of the stage.
        tests: Regressions that are accepted, or amendments that are struck.
    """

    gate: Gate
    verdict: Verdict
    note: str
    override: bool
    for_stage: bool = False
    tests: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """As `Signable.run_id`."""
        return self.gate.run_id

    @property
    def namespace(self) -> str:
        """As `Signable.namespace`."""
        return DECISION_NAMESPACE

    def content(self, principal: str) -> bytes:
        """As `Signable.content`."""
        return statement(
            self.gate,
            self.verdict,
            note=self.note,
            override=self.override,
            principal=principal,
            for_stage=self.for_stage,
            tests=self.tests,
        ).content()

    def signers(self, ledger: Ledger) -> AllowedSigners | None:
        """As `Signable.signers`."""
        return ledger.gates.signers(self.gate) if needs_signature(self.gate) else None

    def require_open(self) -> None:
        """As `Signable.require_open`."""
        require_open(self.gate, SystemClock().now())

    def refuse(self, ledger: Ledger, why: str, *, actor: str) -> None:
        """As `Signable.refuse`."""
        ledger.gates.refuse(self.gate, why, actor=actor)


@dataclass(frozen=True)
class CommandAnswer:
    """A person's command to a run, before it is signed; a `Signable`.

    Attributes:
        command: The command, without its actor.
        ledger: The ledger with the run's latest command, which the signature is bound to.
    """

    command: CommandRequest
    ledger: Ledger

    @property
    def run_id(self) -> str:
        """As `Signable.run_id`."""
        return self.command.run

    @property
    def namespace(self) -> str:
        """As `Signable.namespace`."""
        return COMMAND_NAMESPACE

    def content(self, principal: str) -> bytes:
        """As `Signable.content`."""
        return self.ledger.commands.statement(replace(self.command, actor=principal)).content()

    def signers(self, ledger: Ledger) -> AllowedSigners | None:
        """As `Signable.signers`."""
        return ledger.commands.signers(self.command.run)

    def require_open(self) -> None:
        """As `Signable.require_open`; the ledger says so when it records the command."""

    def refuse(self, ledger: Ledger, why: str, *, actor: str) -> None:
        """As `Signable.refuse`."""
        ledger.commands.refuse(self.command, why, actor=actor)


@dataclass(frozen=True)
class CommandGiver:
    """Person who gives a command, and their signature.

    Attributes:
        name: The person's name.
        signature: Over the canonical command; empty where commands are not signed.
    """

    name: str
    signature: str = field(default="", repr=False)


def command_giver(
    session: Session,
    run: Run,
    command: CommandName,
    options: Mapping[str, Any],
    **arguments: str | int | bool,
) -> CommandGiver | None:
    """Sign a command to a run, or print the bytes to sign.

    Args:
        session: The ledger and the person at the keyboard.
        run: The run.
        command: The command's name.
        options: Values of `signing_options`.
        arguments: The command's arguments.

    Returns:
        The person and their signature; `None` if the bytes were printed and nothing is to be done.

    Raises:
        NotAllowed: The key belongs to no signer; the refusal is recorded.
        ConfigError: ssh-keygen is missing, or the key cannot be used.
    """
    chosen = SigningOptions(**options)
    answer = CommandAnswer(CommandRequest(run.id, command, arguments=arguments), session.ledger)
    if chosen.printing:
        sys.stdout.buffer.write(bytes_to_sign(session, answer, chosen))
        return None
    person, signature = signed(session, answer, chosen)
    return CommandGiver(person.name, signature)


def bytes_to_sign(session: Session, answer: Signable, options: SigningOptions) -> bytes:
    """The bytes that `--print` prints.

    Raises:
        UsageError: Nothing is signed here.
        NotAllowed: The gate takes no decision, or the signers name neither the key nor the person.
    """
    signers = answer.signers(session.ledger)
    if signers is None:
        options.require_unused()
        raise UsageError("there is nothing to sign")
    answer.require_open()
    if options.principal:
        return answer.content(signers.require_named(options.principal))
    key = signing_key(signers, file=options.key, folder=_folder(session, answer))
    return answer.content(signers.require(key.public))


def signed(session: Session, answer: Signable, options: SigningOptions) -> tuple[Person, str]:
    """Sign a decision or a command.

    Returns:
        The person and their signature. Where nothing is signed: the person at the keyboard, and an empty text.

    Raises:
        NotAllowed: The key belongs to no signer; the refusal is recorded.
        ConfigError: ssh-keygen is missing, or the key cannot be used.
    """
    signers = answer.signers(session.ledger)
    if signers is None:
        options.require_unused()
        return session.person, ""
    try:
        return _signed(session, answer, signers, options)
    except NotAllowed as error:
        answer.refuse(session.ledger, error.message, actor=session.person.name)
        raise


def _signed(session: Session, answer: Signable, signers: AllowedSigners, options: SigningOptions) -> tuple[Person, str]:
    if options.signature is not None:
        try:
            signature = options.signature.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{options.signature} cannot be read as a signature: {error}") from error
        return Person(owner_of(signature, signers, at=SystemClock().now()), "ssh"), signature
    answer.require_open()  # before ssh-keygen asks for a passphrase
    key = signing_key(signers, file=options.key, folder=_folder(session, answer))
    principal = signers.require(key.public)
    content = answer.content(principal)
    return Person(principal, "ssh"), sign(content, key, namespace=answer.namespace)


def _folder(session: Session, answer: Signable) -> Path:
    """The folder in which git is asked for the person's key."""
    return Path(session.ledger.runs.get(answer.run_id).repository)
