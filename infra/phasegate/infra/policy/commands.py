"""`[commands]`: the roles that may give each command to a run, apart from decisions at its gates.

Read by `model`. It must not know how a command is given.
"""

from __future__ import annotations

from typing import Literal, get_args

from phasegate.infra.policy.base import PolicyModel

CommandName = Literal["pause", "resume", "cancel", "rollback", "rewind", "steer", "answer", "replay", "clean"]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)


class CommandsPolicy(PolicyModel):
    """`[commands]`: roles of `[roles]` that may give each command; empty: anyone the identity mode knows."""

    pause: tuple[str, ...] = ()
    """Stop a run after the turn it is in."""
    resume: tuple[str, ...] = ()
    """Continue a run that is paused or has stopped."""
    cancel: tuple[str, ...] = ()
    """End a run and undo its effects."""
    rollback: tuple[str, ...] = ()
    """Undo the effects of a run, also after it is done."""
    rewind: tuple[str, ...] = ()
    """Put a run back to a checkpoint."""
    steer: tuple[str, ...] = ()
    """Send an agent a message."""
    answer: tuple[str, ...] = ()
    """Answer an agent's question."""
    replay: tuple[str, ...] = ()
    """Start a new run that goes back to this one."""
    clean: tuple[str, ...] = ()
    """Remove by hand what this run left behind once it has ended; the engine does so by itself."""

    def roles_for(self, command: CommandName) -> tuple[str, ...]:
        """Roles that may give a command."""
        roles: tuple[str, ...] = getattr(self, command)
        return roles
