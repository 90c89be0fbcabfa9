"""Requester of a run, and proof of their identity if a gate excludes the requester.

Called at kick-off. With identity `local` the requester and the approvers are both users of the machine. With `ssh` an
approver is the owner of a key, so an excluded requester must prove theirs. Otherwise they could ask under one name and
approve under another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from phasegate.infra.artifacts import Artifact, canonical_json
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import REQUEST_NAMESPACE, AllowedSigners, Person, sign, signer_of, signing_key
from phasegate.infra.policy.gates import GATES
from phasegate.infra.policy.model import Policy


class SignedRequest(Artifact):
    """Proof of a request: the requester, the run, and their signature over exactly that."""

    kind: ClassVar[str] = "request"
    principal: str
    facts: dict[str, str]
    signature: str


def proven_requester(
    policy: Policy,
    signers: AllowedSigners | None,
    person: Person,
    *,
    facts: Mapping[str, str],
    folder: Path,
    key_file: Path | None = None,
) -> tuple[str, SignedRequest | None]:
    """The requester's name, with proof if a gate of signed decisions excludes them.

    Args:
        policy: The policy with the gates.
        signers: The people whose keys count; None with identity `local`.
        person: The user, as the operating system names them, or the owner of a key who has signed the request.
        facts: The request: run, base commit, and the digests of ticket and policy.
        folder: The folder in which git is asked for `user.signingKey`.
        key_file: The key that the person named, if they did.

    Returns:
        The name gates compare approvers with, and the proof to keep with the run, if one was needed.

    Raises:
        NotAllowed: A proof is needed, and there is no key of theirs that is allowed.
        ConfigError: ssh-keygen is missing, or the key cannot be used.
    """
    if signers is None or not any(policy.gates.named(gate).exclude_requester for gate in GATES):
        return person.name, None
    try:
        key = signing_key(signers, file=key_file, folder=folder)
        principal = signers.require(key.public)
        content = canonical_json({**facts, "principal": principal}).encode()
        signature = sign(content, key, namespace=REQUEST_NAMESPACE)
        signer_of(content, signature, signers, namespace=REQUEST_NAMESPACE, at=SystemClock().now())
    except NotAllowed as error:
        raise NotAllowed(
            f"policy excludes the requester from a gate, so who asks must be known: {error.message}",
            remedy=error.remedy,
        ) from error
    if person.identity == "ssh" and principal != person.name:
        raise NotAllowed(f"{person.name} gives the command, and {principal} asks for the run")
    return principal, SignedRequest(principal=principal, facts=dict(facts), signature=signature)
