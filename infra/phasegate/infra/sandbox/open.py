"""Choosing the sandbox that policy names, and finding out whether it works.

Called when a run starts and by `phasegate doctor`. It must not know what will be run.
"""

from __future__ import annotations

from pathlib import Path

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox.bubblewrap import Bubblewrap
from phasegate.infra.sandbox.limits import groups_bound_memory
from phasegate.infra.sandbox.none import NoSandbox
from phasegate.infra.sandbox.port import Sandbox


def open_sandbox(policy: SandboxPolicy, state_folder: Path) -> Sandbox:
    """The sandbox that policy names, tried once.

    Args:
        policy: `[sandbox]`.
        state_folder: phasegate's own folder, which no command may see.

    Raises:
        SandboxMissing: Its program is not installed, or does not work here.
    """
    return NoSandbox(policy, state_folder) if policy.backend == "none" else Bubblewrap.open(policy, state_folder)


def check(policy: SandboxPolicy, state_folder: Path) -> str:
    """Describe a sandbox that works, for `phasegate doctor`.

    Raises:
        SandboxMissing: As `open_sandbox`.
    """
    sandbox = open_sandbox(policy, state_folder)
    if sandbox.name == "none":
        return "none: agents' commands run as you, with your files and your network"
    bound = "a control group bounds" if groups_bound_memory() else "a count bounds"
    return f"{sandbox.name}: commands see system folders and toolchains, and write their workspace only; {bound} memory"
