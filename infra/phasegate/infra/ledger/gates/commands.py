"""Commands of people to a run, apart from decisions: who may give one, and the statement that each makes.

Who may is in the run's stored policy alone. Pure: it reads nothing but what it is given. Used by `command_checks`, when
a command is given and each time it is read, by the audit, and where a person is shown the bytes to sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import COMMAND_NAMESPACE, AllowedSigners, CommandStatement, signer_of
from phasegate.infra.ledger.chain import Link
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.records import Origin
from phasegate.infra.policy.commands import COMMANDS, CommandName, CommandsPolicy

Argument = str | int | bool

_COMMANDS: Mapping[str, tuple[CommandName, Mapping[str, Argument]]] = {
    EventKind.RUN_PAUSE_REQUESTED: ("pause", {}),
    EventKind.RUN_CANCEL_REQUESTED: ("cancel", {}),
    EventKind.RUN_ROLLBACK_REQUESTED: ("rollback", {}),
    EventKind.RUN_REWIND_REQUESTED: ("rewind", {"checkpoint": 0}),
    EventKind.RUN_RESUMED: ("resume", {}),
    EventKind.MESSAGE_QUEUED: ("steer", {"text": "", "urgent": False}),
    EventKind.QUESTION_ANSWERED: ("answer", {"question": "", "text": ""}),
}
"""Kind of event to its command, and the facts that are the command's arguments, with their defaults."""
COMMAND_KINDS: frozenset[str] = frozenset(_COMMANDS)
REQUEST_KINDS: frozenset[str] = COMMAND_KINDS - {EventKind.MESSAGE_QUEUED, EventKind.QUESTION_ANSWERED}
"""Kinds of the commands that say where the run goes."""


@dataclass(frozen=True)
class CommandRequest:
    """Command of a person to a run.

    Attributes:
        run: The run's id.
        name: The command's name.
        actor: The name of the person who gives it.
        arguments: Its arguments, such as the text of a message.
        signature: Over the canonical command, where identity is `ssh`.
    """

    run: str
    name: CommandName
    actor: str = ""
    arguments: Mapping[str, Argument] = field(default_factory=dict[str, Argument])
    signature: str = ""

    @property
    def signed(self) -> dict[str, str]:
        """The fact that its event has besides its arguments: the signature, if there is one."""
        return {"signature": self.signature} if self.signature else {}


@dataclass(frozen=True)
class CommandAuthority:
    """Rules of a run's commands, by its stored policy.

    Attributes:
        policy: The policy's digest.
        people: People who may give each command that policy names roles for.
        allowed_signers: Digest of the people whose signatures count; empty where commands are not signed.
    """

    policy: str
    people: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    allowed_signers: str = ""


def command_rules_of(stored_policy: str) -> CommandAuthority | None:
    """Rules of the commands by a stored policy; `None` if it is of a version that had none.

    Args:
        stored_policy: Content of the artifact, whose digest the caller has checked.
    """
    document: dict[str, Any] = read_stored_json(stored_policy)
    policy: dict[str, Any] = document["policy"]
    if "commands" not in policy:
        return None
    commands, roles = CommandsPolicy.model_validate(policy["commands"]), policy.get("roles", {})
    named = {command: commands.roles_for(command) for command in COMMANDS if commands.roles_for(command)}
    people: dict[str, Sequence[str]] = {
        command: sorted({name for role in named[command] for name in roles[role]}) for command in named
    }
    return CommandAuthority(sha256(stored_policy), people, str(document.get("allowed_signers", "")))


def command_of(run_id: str, link: Link) -> CommandRequest | None:
    """The command that an event records; `None` if it records none, or a rewind that the engine asks for itself."""
    if link.kind not in _COMMANDS or is_of_engine(link):
        return None
    name, facts = _COMMANDS[link.kind]
    given = {fact: link.payload.get(fact, default) for fact, default in facts.items()}
    arguments = {
        fact: value if isinstance(value, str | int) else canonical_json(value) for fact, value in given.items()
    }
    return CommandRequest(run_id, name, link.actor, arguments, str(link.payload.get("signature", "")))


def replay_command(run_id: str, origin: Origin, actor: str, signature: str = "") -> CommandRequest:
    """The command to an earlier run by which a new run goes back to it.

    Args:
        run_id: The new run.
        origin: The earlier run, and the stage from which it is done again.
        actor: The name of the person who asks for the new run.
        signature: Over the canonical command, where the earlier run's commands are signed.
    """
    arguments: dict[str, Argument] = {"run": run_id, "from": origin.stage, "mode": origin.mode}
    return CommandRequest(origin.run, "replay", actor, arguments, signature)


def is_of_engine(link: Link) -> bool:
    """True if an event asks for a rewind because the run's baseline is gone: the engine's own, not a command."""
    return link.kind == EventKind.RUN_REWIND_REQUESTED and link.actor == "engine" and bool(link.payload.get("why"))


def command_statement(command: CommandRequest, rules: CommandAuthority, after: str) -> CommandStatement:
    """The canonical command.

    Args:
        command: The command; its actor is the principal.
        rules: The rules of the run.
        after: Hash of the event of the command before it.
    """
    return CommandStatement(
        run=command.run,
        command=command.name,
        arguments=dict(command.arguments),
        after=after,
        policy=rules.policy,
        principal=command.actor,
    )


def require_may_command(command: CommandRequest, rules: CommandAuthority) -> None:
    """Stop unless policy lets a person give a command.

    Raises:
        NotAllowed: It does not.
    """
    people = rules.people.get(command.name)
    if people is not None and command.actor not in people:
        raise NotAllowed(
            f"{command.actor} may not {command.name} run {command.run}: it needs one of {', '.join(people)}",
            remedy=f"Ask one of them. The run's policy names their roles: [commands] {command.name}.",
        )


def check_command(
    command: CommandRequest, rules: CommandAuthority, signers: AllowedSigners | None, *, after: str, at: datetime
) -> int:
    """Stop unless a person may give a command, and is the person they claim to be.

    Args:
        command: The command.
        rules: The rules of the run.
        signers: People whose signatures count; `None` where commands are not signed.
        after: Hash of the event of the command before it.
        at: The time at which the signature must have been valid.

    Returns:
        Number of signatures that were verified.

    Raises:
        NotAllowed: They may not.
    """
    require_may_command(command, rules)
    if signers is None:
        if command.signature:
            raise NotAllowed(f"run {command.run} takes commands of users of this machine, and no signatures")
        return 0
    if not command.signature:
        raise NotAllowed(
            f"run {command.run} takes signed commands only",
            remedy="Sign it with your key: --key FILE, or --print and --signature on another machine.",
        )
    content = command_statement(command, rules, after).content()
    signer = signer_of(content, command.signature, signers, namespace=COMMAND_NAMESPACE, at=at)
    if signer != command.actor:
        raise NotAllowed(f"the command is {command.actor}'s, but {signer} signed it")
    return 1


def commands_in(run_id: str, links: Sequence[Link]) -> Iterator[tuple[Link, CommandRequest, str]]:
    """Commands of a run in order, each with its event and the hash that its signature is bound to.

    Args:
        run_id: The run.
        links: Events of the run in order, the first one and those of its commands among them.
    """
    for position, link in enumerate(links):
        command = command_of(run_id, link)
        if command is not None:
            yield link, command, latest_command(links[:position])


def bound_to(command: CommandRequest, links: Sequence[Link]) -> str:
    """Hash of the event that the signature of a command given now is bound to.

    A replay leaves no event in the run that it goes back to, and names the new run: it is bound to that run's
    acceptance.
    """
    return links[0].hash if command.name == "replay" else latest_command(links)


def latest_command(links: Sequence[Link]) -> str:
    """Hash of the event of the latest command, or of the run's acceptance; the next signature is bound to it."""
    kinds = {*COMMAND_KINDS, EventKind.RUN_ACCEPTED}
    return next((link.hash for link in reversed(links) if link.kind in kinds), "")


def refusal(command: CommandRequest, why: str, event: int | None = None, row: str = "") -> payloads.CommandRefused:
    """Facts of the event that refuses a command.

    Args:
        command: The command, as far as it is known.
        why: The reason.
        event: Position of the event that records it, if one does.
        row: The message or the question that it claims to be, if it does.
    """
    payload = payloads.CommandRefused(command=command.name, why=why)
    if command.actor:
        payload["by"] = command.actor
    if event is not None:
        payload["event"] = event
    if row:
        payload["row"] = row
    return payload
