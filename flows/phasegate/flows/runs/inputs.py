"""Inputs of a run, stored as artifacts so that no later change of a file changes the run."""

from __future__ import annotations

from typing import ClassVar

from phasegate.agents.rehearsal.script import Script
from phasegate.infra.artifacts import Artifact
from phasegate.infra.policy.model import Policy


class StoredPolicy(Artifact):
    """The policy at the base commit; its digest is bound into every gate.

    `allowed_signers` is the digest of that file at the same commit, with identity `ssh`; empty otherwise.
    """

    kind: ClassVar[str] = "policy"
    policy: Policy
    allowed_signers: str = ""


class StoredScript(Artifact):
    """The rehearsal script that answers a run."""

    kind: ClassVar[str] = "rehearsal-script"
    script: Script
