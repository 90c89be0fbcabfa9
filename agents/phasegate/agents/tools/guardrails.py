"""Guardrails of an agent's tools: they enforce policy and record what the agent tries.

The caller that starts an agent makes them, and the toolbox uses them. They know no model, no ledger and no gate: a
person's permission comes through `Permission`, records go through `Record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from phasegate.agents.tools.failure import ToolDenied
from phasegate.infra.command_rules import LONGEST_COMMAND, Sign, asked_about, rule_on
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.permissions import Permissions
from phasegate.infra.secrets import Leak, Secrets

Answer = Literal["granted", "refused", "unanswered"]
Record = Callable[[EventKind, Mapping[str, Any]], None]
"""Takes an event's kind and its facts, in plain JSON."""

_OPAQUE = frozenset({"id", "call_id", "encrypted_content", "signature", "data"})
"""Keys that a provider names, encrypts or signs for itself: it accepts their values unaltered or not at all."""


@dataclass(frozen=True)
class PermissionRequest:
    """A command line that needs a person's permission.

    Attributes:
        call_id: The model's call; a permission given once holds for this one.
        command: The command line, whole.
        program: The program in it that policy asks about; a permission for the stage holds for this text.
        reason: The rule that asks.
        programs: All programs in it that policy asks about, whole. Empty if one of them is computed: a permission for
            the stage then holds for the identical command line alone.
    """

    call_id: str
    command: str
    program: str
    reason: str
    programs: tuple[str, ...] = ()


class Permission(Protocol):
    """Port to people's answers."""

    def answer(self, request: PermissionRequest) -> Answer:
        """The person's answer to this request, given once or for the whole stage; `unanswered` opens a gate."""
        ...

    def note(self, request: PermissionRequest) -> str:
        """The note of the person who refused the request, or an empty text."""
        ...


class NoDecisions:
    """Permissions without any answers."""

    def answer(self, request: PermissionRequest) -> Answer:
        """Always `unanswered`."""
        return "unanswered"

    def note(self, request: PermissionRequest) -> str:
        """Nothing."""
        return ""


class PermissionNeeded(Exception):
    """The call waits for a person's permission; nothing was done."""

    def __init__(self, request: PermissionRequest) -> None:
        """Keep the request."""
        super().__init__(request.reason)
        self.request = request


def unrecorded(kind: EventKind, payload: Mapping[str, Any]) -> None:
    """Record nothing: for agents that work without a run."""


@dataclass(frozen=True)
class Guardrails:
    """Guardrails of one agent's tools.

    Attributes:
        permissions: Policy on tools, files and commands.
        secrets: Secrets that must reach neither the agent nor its output.
        permission: People's answers.
        record: Records attempts, refusals and masked secrets.
        sensitive_words: Words no command has reason to name, such as phasegate's own folder.
    """

    permissions: Permissions = field(default_factory=Permissions)
    secrets: Secrets = field(default_factory=Secrets)
    permission: Permission = field(default_factory=NoDecisions)
    record: Record = unrecorded
    sensitive_words: tuple[str, ...] = ()
    _recorded: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], repr=False)

    def pending_permission(self, call_id: str, command: str) -> PermissionRequest | None:
        """The request that a person must answer before a command line may run.

        Returns:
            The request, or None if policy or an earlier answer settles the command.

        Raises:
            ToolDenied: Policy denies it.
        """
        request = self._request(call_id, command)
        return request if request is not None and self.permission.answer(request) == "unanswered" else None

    def permit(self, call_id: str, command: str) -> None:
        """Hold a command line against policy, and ask for a person's answer where policy wants one.

        Raises:
            ToolDenied: Policy or a person denies it.
            PermissionNeeded: A person has to answer first.
        """
        request = self._request(call_id, command)
        if request is None:
            return
        match self.permission.answer(request):
            case "granted":
                return
            case "unanswered":
                raise PermissionNeeded(request)
            case "refused":
                note = self.permission.note(request)
                raise ToolDenied(f"not run: a person refused `{request.program}`{f': {note}' if note else ''}")

    def _request(self, call_id: str, command: str) -> PermissionRequest | None:
        """The request that policy demands for a command line, or None if policy allows it.

        Raises:
            ToolDenied: Policy denies it.
        """
        if len(command.encode(errors="replace")) > LONGEST_COMMAND:
            raise ToolDenied(
                f"not run: longer than {LONGEST_COMMAND} bytes; write a script with `write_file` and run it"
            )
        rules = self.permissions.commands
        ruling = rule_on(command, rules)
        if ruling.verdict == "deny":
            raise ToolDenied(f"not run: {ruling.reason}; do without it")
        if ruling.verdict == "allow":
            return None
        return PermissionRequest(call_id, command, ruling.program, ruling.reason, asked_about(command, rules))

    def denied(self, tool: str, subject: str, reason: str) -> None:
        """Record that a call was refused."""
        payload = {"tool": tool, "subject": subject, "reason": reason}
        self.record(EventKind.TOOL_DENIED, {name: self.masked_quietly(fact) for name, fact in payload.items()})

    def attempted(self, command: str, signs: Iterable[Sign], *, refused: Iterable[str], exit_code: int) -> None:
        """Record what a command tried; each sign once per agent."""
        fresh = [sign for sign in signs if (sign.kind, sign.what) not in self._recorded]
        self._recorded.update((sign.kind, sign.what) for sign in fresh)
        refusals = [self.masked_quietly(refusal) for refusal in refused]
        if fresh or refusals:
            payload = {
                "command": self.masked_quietly(command)[:500],
                "signs": [
                    {"kind": sign.kind, "what": self.masked_quietly(sign.what), "seen": sign.seen} for sign in fresh
                ],
                "refused": refusals,
                "exit_code": exit_code,
            }
            self.record(EventKind.SANDBOX_ATTEMPTED, payload)

    def masked(self, text: str, where: str) -> str:
        """Mask the secrets of a text and record them."""
        masked = self.secrets.mask(text)
        self.note_leaks(masked.leaks, where)
        return masked.text

    def masked_answer(self, document: dict[str, Any]) -> dict[str, Any]:
        """Mask the secrets of a model's answer, as its provider spelled it, and record them."""
        masked, leaks = self.secrets.mask_all(document, opaque=_OPAQUE)
        self.note_leaks(leaks, "the model's answer")
        return cast("dict[str, Any]", masked)

    def note_leaks(self, leaks: Iterable[Leak], where: str) -> None:
        """Record masked secrets, by kind and short digest."""
        secrets = [{"kind": leak.kind, "digest": leak.digest} for leak in leaks]
        if secrets:
            self.record(EventKind.SECRET_MASKED, {"where": where, "secrets": secrets})

    def masked_quietly(self, text: str) -> str:
        """The text without its secrets, for records about something else."""
        return self.secrets.mask(text).text
