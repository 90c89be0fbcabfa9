"""What holds an agent's tools to policy, and where what it tries is put on record.

Made by whoever sets an agent to work, used by the toolbox. It knows no model, no ledger and no gate: a person's
permission comes through `Permission`, records go through `Record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from phasegate.agents.tools.failure import ToolDenied
from phasegate.infra.command_rules import Sign, asked_about, rule_on
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.permissions import Permissions
from phasegate.infra.secrets import Leak, Secrets

Answer = Literal["granted", "refused", "unanswered"]
Record = Callable[[EventKind, Mapping[str, Any]], None]
"""Takes an event's kind and its facts, in plain JSON."""

DENIED, ATTEMPTED, MASKED = EventKind.TOOL_DENIED, EventKind.SANDBOX_ATTEMPTED, EventKind.SECRET_MASKED
"""The kinds of events that tools put on record."""
_OPAQUE = frozenset({"id", "call_id", "encrypted_content", "signature", "data"})
"""What a provider names, encrypts or signs for itself: it takes it back unaltered or not at all."""


@dataclass(frozen=True)
class PermissionRequest:
    """What a person is asked to permit.

    Attributes:
        call_id: The model's call; a permission given once holds for this one.
        command: The command line, whole.
        program: The program in it that policy asks about; a permission for the stage holds for this text.
        reason: Which rule asks.
        programs: All programs in it that policy asks about, whole; empty when some of them is computed, and only the
            very same command line is the same thing.
    """

    call_id: str
    command: str
    program: str
    reason: str
    programs: tuple[str, ...] = ()


class Permission(Protocol):
    """Knows what people have answered."""

    def answer(self, request: PermissionRequest) -> Answer:
        """What a person said to this request, now or for the whole stage; `unanswered` has it asked."""
        ...

    def note(self, request: PermissionRequest) -> str:
        """What a person who refused it said besides; empty: nothing."""
        ...


class NoDecisions:
    """Nobody has answered anything."""

    def answer(self, request: PermissionRequest) -> Answer:
        """Always `unanswered`."""
        return "unanswered"

    def note(self, request: PermissionRequest) -> str:
        """Nothing."""
        return ""


class PermissionNeeded(Exception):
    """The call waits for a person; nothing was done."""

    def __init__(self, request: PermissionRequest) -> None:
        """Carry what is to be asked."""
        super().__init__(request.reason)
        self.request = request


def unrecorded(kind: EventKind, facts: Mapping[str, Any]) -> None:
    """Puts nothing on record: for agents at work without a run."""


@dataclass(frozen=True)
class Guardrails:
    """Guardrails of one agent's tools.

    Attributes:
        permissions: What policy lets it use, write and run.
        secrets: What must not pass on to it, or out of it.
        permission: What people have answered.
        record: Where attempts, refusals and masked secrets go.
        sensitive_words: Words no command has reason to name, such as phasegate's own folder.
    """

    permissions: Permissions = field(default_factory=Permissions)
    secrets: Secrets = field(default_factory=Secrets)
    permission: Permission = field(default_factory=NoDecisions)
    record: Record = unrecorded
    sensitive_words: tuple[str, ...] = ()
    _recorded: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], repr=False)

    def pending_permission(self, call_id: str, command: str) -> PermissionRequest | None:
        """What a person has to answer before a command line may run; None when there is nothing to wait for."""
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
        """What a person is to be asked about a command line; None when policy lets it run.

        Raises:
            ToolDenied: Policy denies it.
        """
        rules = self.permissions.commands
        ruling = rule_on(command, rules)
        if ruling.verdict == "deny":
            raise ToolDenied(f"not run: {ruling.reason}; do without it")
        if ruling.verdict == "allow":
            return None
        return PermissionRequest(call_id, command, ruling.program, ruling.reason, asked_about(command, rules))

    def denied(self, tool: str, subject: str, reason: str) -> None:
        """Put on record that a call was answered with a refusal."""
        facts = {"tool": tool, "subject": subject, "reason": reason}
        self.record(DENIED, {name: self.masked_quietly(fact) for name, fact in facts.items()})

    def attempted(self, command: str, signs: Iterable[Sign], *, refused: Iterable[str], exit_code: int) -> None:
        """Put on record what a command tried; each sign once per agent."""
        fresh = [sign for sign in signs if (sign.kind, sign.what) not in self._recorded]
        self._recorded.update((sign.kind, sign.what) for sign in fresh)
        refusals = [self.masked_quietly(refusal) for refusal in refused]
        if fresh or refusals:
            facts = {
                "command": self.masked_quietly(command)[:500],
                "signs": [
                    {"kind": sign.kind, "what": self.masked_quietly(sign.what), "seen": sign.seen} for sign in fresh
                ],
                "refused": refusals,
                "exit_code": exit_code,
            }
            self.record(ATTEMPTED, facts)

    def masked(self, text: str, where: str) -> str:
        """The text without its secrets; what was taken out is put on record."""
        masked = self.secrets.mask(text)
        self.note_leaks(masked.leaks, where)
        return masked.text

    def masked_answer(self, document: dict[str, Any]) -> dict[str, Any]:
        """A model's answer, as its provider spelled it, without secrets; nothing else of it reaches a record."""
        masked, leaks = self.secrets.mask_all(document, opaque=_OPAQUE)
        self.note_leaks(leaks, "the model's answer")
        return cast("dict[str, Any]", masked)

    def note_leaks(self, leaks: Iterable[Leak], where: str) -> None:
        """Put on record which secrets were taken out, by kind and short digest."""
        found = [{"kind": leak.kind, "digest": leak.digest} for leak in leaks]
        if found:
            self.record(MASKED, {"where": where, "secrets": found})

    def masked_quietly(self, text: str) -> str:
        """The text without its secrets, for records about something else."""
        return self.secrets.mask(text).text
