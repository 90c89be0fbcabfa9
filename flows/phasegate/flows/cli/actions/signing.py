"""Signature of a decision at the command line: by the person's key, or from another machine (`--print`, `--signature`).

Used by the decisions. The ledger checks each signature and believes nothing from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phasegate.flows.cli.session import Session
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotAllowed, UsageError
from phasegate.infra.identity import DECISION_NAMESPACE, Person, owner_of, sign, signing_key
from phasegate.infra.ledger import Gate, Verdict
from phasegate.infra.ledger.gates.authorization import needs_signature, require_open, statement


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
                "this run's decisions are not signed: its policy has identity.mode local",
                remedy="Leave out --key, --print, --as and --signature.",
            )


@dataclass(frozen=True)
class DecisionAnswer:
    """A person's decision on a gate, before it is signed.

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

    def content(self, principal: str) -> bytes:
        """The exact bytes this person signs."""
        return statement(
            self.gate,
            self.verdict,
            note=self.note,
            override=self.override,
            principal=principal,
            for_stage=self.for_stage,
            tests=self.tests,
        ).content()


def bytes_to_sign(session: Session, answer: DecisionAnswer, options: SigningOptions) -> bytes:
    """The bytes that `--print` prints.

    Raises:
        UsageError: Nothing is signed here.
        NotAllowed: The gate takes no decision, or the signers name neither the key nor the person.
    """
    if not needs_signature(answer.gate):
        options.require_unused()
    require_open(answer.gate, SystemClock().now())
    signers = session.ledger.gates.signers(answer.gate)
    if options.principal:
        return answer.content(signers.require_named(options.principal))
    key = signing_key(signers, file=options.key, folder=Path(session.ledger.runs.get(answer.gate.run_id).repository))
    return answer.content(signers.require(key.public))


def signed(session: Session, answer: DecisionAnswer, options: SigningOptions) -> tuple[Person, str]:
    """Sign a decision.

    Returns:
        The person and their signature. Where decisions are not signed: the person at the keyboard, and an empty text.

    Raises:
        NotAllowed: The key belongs to no signer; the refusal is recorded.
        ConfigError: ssh-keygen is missing, or the key cannot be used.
    """
    if not needs_signature(answer.gate):
        options.require_unused()
        return session.person, ""
    try:
        return _signed(session, answer, options)
    except NotAllowed as error:
        session.ledger.gates.refuse(answer.gate, error.message, actor=session.person.name)
        raise


def _signed(session: Session, answer: DecisionAnswer, options: SigningOptions) -> tuple[Person, str]:
    signers, now = session.ledger.gates.signers(answer.gate), SystemClock().now()
    if options.signature is not None:
        try:
            signature = options.signature.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{options.signature} cannot be read as a signature: {error}") from error
        return Person(owner_of(signature, signers, at=now), "ssh"), signature
    require_open(answer.gate, now)  # before ssh-keygen asks for a passphrase
    key = signing_key(signers, file=options.key, folder=Path(session.ledger.runs.get(answer.gate.run_id).repository))
    principal = signers.require(key.public)
    return Person(principal, "ssh"), sign(answer.content(principal), key, namespace=DECISION_NAMESPACE)
