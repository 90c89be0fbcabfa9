"""Canonical decisions and commands: the exact bytes a person signs, and the ledger verifies.

Made from the ledger's rows and events alone, so a signature holds for what the ledger says was decided or commanded or
for nothing. Must not know how it is signed.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from phasegate.infra.artifacts import canonical_json
from phasegate.infra.documents.json_text import read_stored_json


class DecisionStatement(BaseModel):
    """Decision of a person in full, as they sign it.

    Attributes:
        version: Of this format.
        run: The run's id.
        gate: The gate's id.
        name: The gate's name.
        round: How often this gate has been asked.
        nonce: The gate's own, so that no other gate ever asks for these bytes.
        subject: Name to digest of everything decided on.
        policy: The digest of the policy the run follows.
        verdict: The answer.
        override: True if it passes the gate against its rules.
        note: What the person says with it.
        principal: Who they are, in the allowed-signers file's words.
        for_stage: True if it holds for the rest of the stage; said only when it does.
        tests: Regressions that are accepted, or amendments that are struck; said only where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    run: str
    gate: str
    name: str
    round: int
    nonce: str
    subject: dict[str, str]
    policy: str
    verdict: Literal["approve", "revise", "reject"]
    override: bool
    note: str
    principal: str
    for_stage: bool = False
    tests: tuple[str, ...] = ()

    def content(self) -> bytes:
        """The bytes to sign: canonical JSON, without a line end."""
        unsaid = {name for name in ("for_stage", "tests") if not getattr(self, name)}
        return canonical_json(self.model_dump(mode="json", exclude=unsaid)).encode()

    @classmethod
    def from_content(cls, content: bytes) -> Self:
        """Read back what `content` wrote.

        Raises:
            ValueError: They are not the bytes of a decision.
        """
        return cls.model_validate(read_stored_json(content))


class CommandStatement(BaseModel):
    """Command of a person to a run in full, as they sign it.

    Attributes:
        version: Of this format.
        run: The run's id.
        command: The command's name.
        arguments: Its arguments, such as the text of a message.
        after: Hash of the event of the run's latest command, or of its acceptance: these bytes count once, and here.
        policy: The digest of the policy the run follows.
        principal: Who gives it, in the allowed-signers file's words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    run: str
    command: str
    arguments: dict[str, str | int | bool]
    after: str
    policy: str
    principal: str

    def content(self) -> bytes:
        """The bytes to sign: canonical JSON, without a line end."""
        return canonical_json(self.model_dump(mode="json")).encode()
