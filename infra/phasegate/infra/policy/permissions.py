"""`[permissions]`: what an agent may use, write, run and reach, for all stages and for single ones.

Part of `model`. What a stage's table names replaces, key by key, what `[permissions]` says; limits that neither names
are those of `[sandbox]`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from phasegate.infra.policy.base import ByteSize, Duration, GlobPattern, PolicyModel

ToolName = Literal["list_files", "read_file", "search", "write_file", "edit_file", "run", "query", "ask"]


def _command(rule: str) -> str:
    words = rule.split()
    if not words:
        raise ValueError("must name a program, and perhaps its first arguments, e.g. git push")
    if "/" in words[0] or re.search(r"[;&|<>$`'\"\\]", rule):
        raise ValueError("must be a program's plain name and words, e.g. git push; no folder, no shell syntax")
    return rule


def _host(name: str) -> str:
    if not re.fullmatch(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", name):
        raise ValueError("must be a host's name in small letters, e.g. example.org, *.example.org or example.org:8443")
    if re.fullmatch(r"[0-9.]+(:[0-9]+)?", name):
        raise ValueError("must be a name: addresses are not let through")
    return name


CommandPattern = Annotated[str, AfterValidator(_command)]
HostPattern = Annotated[str, AfterValidator(_host)]
Answer = Literal["allow", "ask", "deny"]

DENIED = ("sudo", "su", "doas", "ssh", "scp", "docker", "podman", "kubectl", "phasegate", "git push")
"""Denied unless policy says otherwise: nothing an agent's work needs, and what one tries first who wants out."""


class CommandRules(PolicyModel):
    """`commands`: held against the programs that a command line would start, as the shell reads it.

    A rule is a program's name and its first arguments (`git push`, `npm run *`). The longest rule that fits decides,
    of equally long ones the strictest; a command line that cannot be read with certainty counts as the strictest.
    """

    allow: tuple[CommandPattern, ...] = ()
    """Run at once."""
    ask: tuple[CommandPattern, ...] = ()
    """A person is asked first."""
    deny: tuple[CommandPattern, ...] = DENIED
    """Never run; the agent is told why."""
    otherwise: Answer = "allow"
    """Ruling on a program that no rule fits."""

    @property
    def restrict(self) -> bool:
        """True if some command is not simply run."""
        return bool(self.ask or self.deny) or self.otherwise != "allow"


class StageCommandRules(PolicyModel):
    """`commands` of one stage; a key that is not named is as in `[permissions] commands`."""

    allow: tuple[CommandPattern, ...] | None = None
    """Run at once."""
    ask: tuple[CommandPattern, ...] | None = None
    """A person is asked first."""
    deny: tuple[CommandPattern, ...] | None = None
    """Never run; the agent is told why."""
    otherwise: Answer | None = None
    """Ruling on a program that no rule fits."""


class StagePermissions(PolicyModel):
    """`[permissions.STAGE]`: what differs for one stage."""

    tools: tuple[ToolName, ...] | None = None
    """Tools of the stage that the agent is given; not named: all of them. `finish` always comes with them."""
    write: tuple[GlobPattern, ...] | None = None
    """Glob patterns of the files that `write_file` and `edit_file` may write; what `[protect]` names stays shut."""
    commands: StageCommandRules = StageCommandRules()
    network: tuple[HostPattern, ...] | None = None
    """Hosts that commands reach, through a proxy that lets nothing else pass."""
    environment: tuple[str, ...] | None = None
    """Names of variables handed into the sandbox besides PATH, HOME, LANG and TERM."""
    memory: ByteSize | None = None
    """Memory of one command, in bytes (or `2GiB`)."""
    disk: ByteSize | None = None
    """By how much one command may make the workspace larger, in bytes (or `4GiB`)."""
    cpu_seconds: int | None = Field(default=None, ge=1)
    """Processor time of one command."""
    pids: int | None = Field(default=None, ge=8)
    """Processes a command may have at once."""
    command_timeout: Duration | None = None
    """Wall clock one command may take."""


class PermissionsPolicy(PolicyModel):
    """`[permissions]`: for all stages, and one table per stage for what differs there."""

    tools: tuple[ToolName, ...] = (
        "list_files",
        "read_file",
        "search",
        "write_file",
        "edit_file",
        "run",
        "query",
        "ask",
    )
    """Tools that an agent is given; `finish` always comes with them."""
    write: tuple[GlobPattern, ...] = ("**",)
    """Glob patterns of the files that `write_file` and `edit_file` may write; what `[protect]` names stays shut."""
    commands: CommandRules = CommandRules()
    prd: StagePermissions = StagePermissions()
    implementation: StagePermissions = StagePermissions()
    testing: StagePermissions = StagePermissions()
    deployment: StagePermissions = StagePermissions()
    monitoring: StagePermissions = StagePermissions()

    def for_stage(self, stage: str) -> Permissions:
        """Permissions of one stage: its own where it has them, else the general ones."""
        own: StagePermissions = getattr(self, stage)
        named = own.commands.model_dump(exclude_none=True)
        return Permissions(
            tools=self.tools if own.tools is None else own.tools,
            write=self.write if own.write is None else own.write,
            commands=CommandRules.model_validate({**self.commands.model_dump(), **named}),
        )

    def limits_for(self, stage: str) -> dict[str, object]:
        """Keys of `[sandbox]` that one stage has other values for, with these values."""
        own: StagePermissions = getattr(self, stage)
        return {
            name: value
            for name in ("network", "environment", "memory", "disk", "cpu_seconds", "pids", "command_timeout")
            if (value := getattr(own, name)) is not None
        }


class Permissions(PolicyModel):
    """Permissions of an agent at work: what it may use, write and run."""

    tools: tuple[str, ...] = ("list_files", "read_file", "search", "write_file", "edit_file", "run", "query", "ask")
    """Names of tools."""
    write: tuple[str, ...] = ("**",)
    """Glob patterns of files."""
    commands: CommandRules = CommandRules()
