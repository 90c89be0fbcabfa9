"""Events as lines a person reads: one vocabulary for `run`, `watch`, `logs` and the demo.

Knows the kinds of events, not where they are shown. Every line it returns is plain text already. Of the ledger it reads
no more than the artifact that an event names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phasegate.flows.cli.sanitize import one_line, sanitize_name
from phasegate.flows.cli.views.summaries import summary
from phasegate.infra.ledger import Event, Ledger, Message
from phasegate.infra.ledger.attempt_id import AttemptId
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of

_TELLING_ARGUMENTS = ("path", "command", "pattern", "sql", "question", "summary", "title")
_WIDTH = 160
_SHORT_COMMIT = 12


@dataclass(frozen=True)
class EventLine:
    """Line that describes one event.

    Attributes:
        at: When it happened.
        mark: A symbol for its sort: ▸ begins, ✓ holds, ✗ does not, ◆ asks a person, ! is important,
            · is a step on the way.
        text: Plain text without line ends.
        stage: The stage it belongs to; empty for the run.
        detail: True if only the full log shows it.
    """

    at: datetime
    mark: str
    text: str
    stage: str = ""
    detail: bool = False

    def __str__(self) -> str:
        """The line with its local time of day."""
        indent = "  " if self.mark == "·" else ""
        return f"{self.at.astimezone():%H:%M:%S} {indent}{self.mark} {self.text}"


def describe(event: Event, ledger: Ledger) -> EventLine:
    """Describe an event as a line."""
    mark, tell, detail = _DESCRIPTIONS.get(event.kind, ("·", _anything, True))
    text = tell(event)
    if event.kind == EventKind.ATTEMPT_FINISHED:
        finished = payload_of(event, payloads.AttemptFinished)
        text = f"{text}: {summary(finished['kind'], ledger.artifacts.json(finished['artifact']))}"
    if unread := len(event.payload.get("expired", [])):
        text = f"{text} ({unread} {'message' if unread == 1 else 'messages'} expired unread)"
    return EventLine(event.at, mark, one_line(text, _WIDTH), _stage(event), detail)


def _stage(event: Event) -> str:
    if attempt := str(event.payload.get("attempt", "")):
        return AttemptId.parse(attempt).stage
    return str(event.payload.get("stage", ""))


def attempt_name(attempt_id: str) -> str:
    """`run-1/testing.authoring/2` as people say it: `testing (authoring), attempt 2`. Ids below it work, too."""
    attempt = AttemptId.parse(attempt_id)
    part = f" ({attempt.part})" if attempt.part else ""
    return f"{attempt.stage}{part}{f', attempt {attempt.number}' if attempt.number > 1 else ''}"


def call_name(call: Mapping[str, Any]) -> str:
    """A tool call in a few words: `read_file app.py`."""
    arguments: Mapping[str, Any] = call.get("args") or {}
    key = next((key for key in _TELLING_ARGUMENTS if isinstance(arguments.get(key), str)), "")
    telling = str(arguments.get(key, ""))
    shown = one_line(sanitize_name(telling) if key == "path" else telling, 60)
    return f"{call.get('name', '')} {shown}".strip()


def turn_text(payload: Mapping[str, Any]) -> str:
    """An agent's text and tool calls of one turn as a line, and the reason if the answer was cut or refused."""
    calls = ", ".join(call_name(call) for call in payload.get("calls", []))
    text = one_line(str(payload.get("text") or ""), 90)
    stop = f"({payload['stop']})" if payload.get("stop") else ""
    return " → ".join(part for part in (text, calls, stop) if part) or "(nothing)"


def reason_text(reason: Mapping[str, Any] | None) -> str:
    """The ledger's reason for a run's status, or an empty text if it has none."""
    if not reason:
        return ""
    note = f": {reason['note']}" if reason.get("note") else ""
    return f"{reason.get('message') or reason}{note}"


def _anything(event: Event) -> str:
    payload = {key: value for key, value in event.payload.items() if key != "rows"}
    return f"{event.kind} {payload or ''}"


def _run_status(event: Event) -> str:
    why = reason_text(event.payload.get("reason"))
    if why.startswith(event.kind.removeprefix("run.").replace("-", " ")):
        return f"run {why}"  # such as: rolled back on a person's request
    return f"run {event.kind.removeprefix('run.')}{f': {why}' if why else ''}"


def _failed(event: Event) -> str:
    payload = payload_of(event, payloads.AttemptFailed)
    return f"{attempt_name(payload['attempt'])} failed: {reason_text(payload['error'])}"


def _decided(event: Event) -> str:
    payload = payload_of(event, payloads.GateDecided)
    past = {"approve": "approved", "revise": "sent back", "reject": "rejected"}[payload["verdict"]]
    standing = (
        ", in advance" if payload.get("standing") else ", for the rest of the stage" if payload.get("for_stage") else ""
    )
    note = f": {payload['note']}" if payload.get("note") and not payload.get("standing") else ""
    return f"gate {past} by {event.actor}{standing}{note}"


def _overridden(event: Event) -> str:
    return f"gate overridden by {event.actor}, against its rules: {payload_of(event, payloads.GateDecided)['note']}"


def _effect(words: str) -> Callable[[Event], str]:
    def tell(event: Event) -> str:
        name = str(event.payload["effect"]).rpartition("/")[2]
        outcome: Mapping[str, Any] = event.payload.get("result") or event.payload.get("error") or {}
        branch = str(outcome.get("ref", "")).removeprefix("refs/heads/")
        commit = f"{str(outcome.get('commit', ''))[:_SHORT_COMMIT]}{f' on {branch}' if branch else ''}"
        what = outcome.get("url") or outcome.get("message") or commit
        return words.format(name) + (f": {what}" if what else "")

    return tell


def _step(event: Event) -> str:
    text = turn_text(event.payload) if event.kind == EventKind.TURN_ANSWERED else str(event.payload["text"])
    where = attempt_name(event.payload["attempt"]) if "attempt" in event.payload else event.payload["stage"]
    return f"{where}: {text}"


def _replaced(event: Event) -> str:
    payload = payload_of(event, payloads.ModelReplaced)
    where = f"{attempt_name(payload['attempt'])}, turn {payload['turn']}"
    return f"{where}: {payload['model']} takes over from {payload['replaced']}: {payload['why']}"


def _answered(event: Event) -> str:
    payload = payload_of(event, payloads.ToolsAnswered)
    results = [_result_text(result) for result in payload["results"]]
    return f"{attempt_name(payload['attempt'])}: {', '.join(results) or 'no tool was called'}"


def _result_text(result: Mapping[str, Any]) -> str:
    """A tool's answer in a few words: its last line for `run`, which shows how the command ended; else its first."""
    lines = [line for line in str(result["output"]).splitlines() if line.strip()] or [""]
    text = one_line(lines[-1] if result["name"] == "run" else lines[0], 60)
    return f"{result['name']} {'refused: ' if result['failed'] else '→ '}{text}"


def _attempt(words: str) -> Callable[[Event], str]:
    return lambda event: f"{attempt_name(event.payload['attempt'])} {words}"


def _checkpointed(event: Event) -> str:
    return f"checkpoint {payload_of(event, payloads.AttemptCheckpointed)['commit'][:_SHORT_COMMIT]}"


def _asked(event: Event) -> str:
    payload = payload_of(event, payloads.AgentQuestion)
    return f"{attempt_name(payload['question'])} asks: {payload['text']}"


def _adopted(event: Event) -> str:
    payload = payload_of(event, payloads.AttemptAdopted)
    return f"{attempt_name(payload['attempt'])} adopted from run {payload['from'].partition('/')[0]}"


def _departed(event: Event) -> str:
    payload = payload_of(event, payloads.RehearsalDeparture)
    return f"{attempt_name(payload['attempt'])}, turn {payload['turn']} departs from the record: {payload['why']}"


def _denied(event: Event) -> str:
    payload = payload_of(event, payloads.ToolRefusal)
    call = one_line(f"{payload['tool']} {payload['subject']}", 80).strip()
    return f"{attempt_name(payload['attempt'])} was refused {call}: {payload['reason']}"


def _attempted(event: Event) -> str:
    payload = payload_of(event, payloads.SandboxAttempted)
    signs = list(dict.fromkeys(str(sign["kind"]) for sign in payload["signs"])) or ["network"]
    return f"{attempt_name(payload['attempt'])} tried ({', '.join(signs)}): {payload['command']}"


def _masked(event: Event) -> str:
    payload = payload_of(event, payloads.SecretMasked)
    secrets = ", ".join(f"{secret['kind']} ({secret['digest']})" for secret in payload["secrets"])
    return f"{attempt_name(payload['attempt'])}: masked in {payload['where']}: {secrets}"


def _queued(event: Event) -> str:
    payload = payload_of(event, payloads.MessageQueued)
    to = attempt_name(payload["attempt"]) if "attempt" in payload else "the next agent"
    return f"{event.actor} to {to}{', at once' if payload.get('urgent') else ''}: {payload['text']}"


def _delivered(event: Event) -> str:
    payload = payload_of(event, payloads.MessageDelivered)
    count = len(payload["messages"])
    what = "the message" if count == 1 else f"{count} messages"
    return f"{attempt_name(payload['attempt'])} was told {what} at turn {payload['turn']}"


def receipt(message: Message) -> str:
    """Receipt of a message to an agent."""
    whose = "the next agent" if message.attempt_id is None else attempt_name(message.attempt_id)
    match message.status:
        case "queued":
            return f"queued for {whose}"
        case "delivered":
            return f"delivered to {whose} at turn {message.turn}"
        case "expired":
            return f"expired: {whose} ended before it was read" if message.attempt_id else "expired with the run"


def _rewinding(event: Event) -> str:
    payload = payload_of(event, payloads.RewindRequested)
    if why := payload.get("why"):
        return f"back to checkpoint {payload['checkpoint']}: {why}"
    return f"{event.actor} asked to go back to checkpoint {payload['checkpoint']}"


def _template(words: str) -> Callable[[Event], str]:
    return lambda event: words.format(actor=event.actor, **event.payload)


_DESCRIPTIONS: Mapping[str, tuple[str, Callable[[Event], str], bool]] = {
    EventKind.RUN_ACCEPTED: ("▸", _template("run accepted from {actor}: {title}"), False),
    EventKind.RUN_DISPATCHED: ("·", _template("handed to the engine"), True),
    EventKind.RUN_RUNNING: ("▸", _run_status, True),
    EventKind.RUN_WAITING: ("◆", _run_status, True),
    EventKind.RUN_PAUSED: ("◆", _run_status, False),
    EventKind.RUN_DONE: ("✓", _run_status, False),
    EventKind.RUN_FAILED: ("✗", _run_status, False),
    EventKind.RUN_REJECTED: ("✗", _run_status, False),
    EventKind.RUN_CANCELLED: ("✗", _run_status, False),
    EventKind.RUN_ROLLED_BACK: ("✗", _run_status, False),
    EventKind.RUN_NEEDS_OPERATOR: ("◆", _run_status, False),
    EventKind.RUN_PAUSE_REQUESTED: ("▸", _template("{actor} asked to pause"), False),
    EventKind.RUN_CANCEL_REQUESTED: ("▸", _template("{actor} asked to cancel"), False),
    EventKind.RUN_ROLLBACK_REQUESTED: ("▸", _template("{actor} asked to roll back"), False),
    EventKind.RUN_REWIND_REQUESTED: ("▸", _rewinding, False),
    EventKind.RUN_REWOUND: (
        "▸",
        _template("back at checkpoint {checkpoint}; rewind {number} keeps what was thrown away"),
        False,
    ),
    EventKind.RUN_RESUMED: ("▸", _template("{actor} let the run go on"), False),
    EventKind.RUN_TAKEN: ("·", _template("taken up by engine {holder}"), True),
    EventKind.WRITE_REFUSED: (
        "✗",
        _template("a late write of engine {late} was refused: {holder} has the run now"),
        False,
    ),
    EventKind.RUN_RECOVERED: ("▸", _template("picked up again after an interruption"), False),
    EventKind.ATTEMPT_STARTED: ("▸", _attempt("started"), False),
    EventKind.ATTEMPT_ADOPTED: ("✓", _adopted, False),
    EventKind.ATTEMPT_FINISHED: ("✓", _attempt("finished"), False),
    EventKind.ATTEMPT_FAILED: ("✗", _failed, False),
    EventKind.ATTEMPT_CHECKPOINTED: ("·", _checkpointed, True),
    EventKind.STAGE_OBSERVED: ("·", _template("looked at {name}"), True),
    EventKind.STAGE_STEP: ("·", _step, False),
    EventKind.TURN_ANSWERED: ("·", _step, False),
    EventKind.MODEL_REPLACED: ("!", _replaced, False),
    EventKind.TOOLS_ANSWERED: ("·", _answered, True),
    EventKind.TOOL_DENIED: ("✗", _denied, False),
    EventKind.SANDBOX_ATTEMPTED: ("!", _attempted, False),
    EventKind.SECRET_MASKED: ("!", _masked, False),
    EventKind.GATE_PREPARED: ("·", _template("gate {gate} is about to ask"), True),
    EventKind.GATE_OPENED: ("◆", _template("gate {gate} opened"), False),
    EventKind.GATE_SHOWN: ("·", _template("gate {name} was shown to {actor}"), True),
    EventKind.GATE_DECIDED: ("▸", _decided, False),
    EventKind.GATE_REHEARSED: ("▸", _template("gate {gate} passed as recorded: {verdict}"), False),
    EventKind.GATE_SKIPPED: ("▸", _template("gate {gate} is off: {reason}"), False),
    EventKind.GATE_CARRIED: ("▸", _template("gate passed: the earlier run's approval is of the same subject"), False),
    EventKind.APPROVAL_CARRIED: ("✓", _template("gate {name}: {why}"), False),
    EventKind.APPROVAL_LAPSED: ("◆", _template("gate {name}: {why}"), False),
    EventKind.GATE_OVERRIDDEN: ("▸", _overridden, False),
    EventKind.GATE_REFUSED: ("✗", _template("gate {name} is not passed: {why}"), False),
    EventKind.DECISION_REFUSED: ("✗", _template("a decision on gate {name} was refused: {why}"), False),
    EventKind.COMMAND_REFUSED: ("✗", _template("{command} was refused: {why}"), False),
    EventKind.STATE_REFUSED: ("✗", _template("gate {name} is not passed by Prefect's state {state}: {why}"), False),
    EventKind.GATE_VOID: ("◆", _template("gate closed: what it asked about has changed"), False),
    EventKind.GATE_OUTDATED: ("◆", _template("gate closed: {why}"), False),
    EventKind.GATE_EXPIRED: ("◆", _template("gate closed: nobody decided in time"), False),
    EventKind.EFFECT_INTENDED: ("·", _template("about to make effect {kind}; undone by: {compensation}"), True),
    EventKind.EFFECT_ADOPTED: ("✓", _effect("effect {} was made by the earlier run, and is adopted"), False),
    EventKind.EFFECT_REHEARSED: ("·", _template("would have made effect {kind}; undone by: {compensation}"), False),
    EventKind.EFFECT_DONE: ("✓", _effect("effect {} made"), False),
    EventKind.EFFECT_UNDONE: ("✓", _effect("effect {} undone"), False),
    EventKind.ROLLBACK_BEGAN: ("◆", _template("rolling back, newest effect first"), False),
    EventKind.EFFECT_STUCK: ("✗", _effect("effect {} could not be undone"), False),
    EventKind.REHEARSAL_DEPARTED: ("✗", _departed, False),
    EventKind.MESSAGE_QUEUED: ("▸", _queued, False),
    EventKind.MESSAGE_DELIVERED: ("·", _delivered, False),
    EventKind.TURN_CUT: ("·", _attempt("was cut short for a message"), False),
    EventKind.QUESTION_ASKED: ("◆", _asked, False),
    EventKind.QUESTION_ANSWERED: ("▸", _template("{actor} answers: {text}"), False),
}
"""Kind to mark, teller, and whether only the full log needs it."""
