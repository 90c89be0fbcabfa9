"""Checking who decided what from the stored rows alone (P4, P5, P13): the part of the audit that knows about people.

Called by `audit`, on the database or on a bundle, once chain and rows hold. Like it, it believes no row: a decision
must be about its gate's subject, be told by the person's own event, be one that its gate takes, and, where the run's
policy names allowed signers, be signed by one of theirs over exactly what the rows say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Never

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import DECISION_NAMESPACE, REQUEST_NAMESPACE, AllowedSigners, signer_of
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.authorization import (
    GateRules,
    change_of,
    excludes_requester,
    needs_signature,
    require_authorized,
    rules_of,
    statement_of,
    subject_digest,
)
from phasegate.infra.ledger.records import Decision, Gate, Run
from phasegate.infra.ledger.trail_rows import Row, Rows

_SAID_BY = {0: EventKind.GATE_DECIDED, 1: EventKind.GATE_OVERRIDDEN}
_VERDICT = {"approved": "approve", "revised": "revise", "rejected": "reject"}


def broken(row: str, why: str) -> Never:
    """Say which row does not hold.

    Raises:
        TrailBroken: Always.
    """
    raise TrailBroken(
        f"the audit trail does not hold at {row}: {why}",
        remedy="Compare with a copy of the ledger from before; nothing after this row can be relied on.",
        row=row,
    )


def check_decisions(rows: Rows, run_id: str) -> int:
    """Check a run's decisions in the order they were made; how many signatures hold, the requester's included.

    Raises:
        TrailBroken: Naming the first decision, gate or request that does not hold.
        ConfigError: There are signatures to verify, and ssh-keygen is missing.
    """
    run = stored_run(rows, run_id)
    gates = {gate.id: gate for gate in map(_gate, rows.of_run("gates", run_id))}
    policy = stored_policy(rows, run)
    signers = stored_signers(rows, policy)
    known = {gate.id: rules_of(run, policy, gate.gate, _change(rows, gate)) for gate in gates.values()}
    for gate in gates.values():
        _check_gate(gate, signers, known[gate.id])
    events = sorted(rows.of_run("events", run_id), key=lambda row: int(row["position"]))
    recorded = dict(_recorded_decisions(events))
    signed = _check_request(rows, run, signers, events) if gates and excludes_requester(policy) else 0
    times = _times(events)
    counted: dict[str, list[Decision]] = {gate: [] for gate in gates}
    for row in sorted(rows.of_run("decisions", run_id), key=lambda row: (row["decided_at"], row["id"])):
        _check_recorded(row, recorded)
        decision = Decision.model_validate({**row, "tests": read_stored_json(row.get("tests", "[]"))})
        if decision.gate_id not in gates:
            broken(f"decisions/{decision.id}", "it was not made on this gate's subject")
        span = times[f"gates/{decision.gate_id}"], times[f"decisions/{decision.id}"]
        signed += _check_decision(gates[decision.gate_id], decision, known[decision.gate_id], signers, span)
        counted[decision.gate_id].append(decision)
    carried = dict(_inherited(events))
    for gate in gates.values():
        if gate.id in carried:
            _check_inherited(rows, run, gate, carried[gate.id])
        else:
            _check_conclusion(gate, known[gate.id].quorum, counted[gate.id])
    return signed


def stored_policy(rows: Rows, run: Run) -> str:
    """Content of the policy that a run's row names."""
    row = rows.find("artifacts", run.policy)
    if row is None:
        broken(f"artifacts/{run.policy}", "the run's policy is gone")
    return str(row["content"])


def _change(rows: Rows, gate: Gate) -> str:
    """Content of the change that a gate asks about; empty if it asks about none."""
    digest = change_of(gate.gate, gate.subject)
    row = rows.find("artifacts", digest) if digest else None
    if digest and (row is None or sha256(row["content"]) != digest):
        broken(f"gates/{gate.id}", "the change it asks about is not the one in the ledger")
    return "" if row is None else str(row["content"])


def _times(events: Iterable[Row]) -> dict[str, datetime]:
    """Time of the first event that touches each row, or of an earlier event that says a later time."""
    times: dict[str, datetime] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for event in events:
        latest = max(latest, datetime.fromisoformat(event["at"]))
        for name in read_stored_json(event["payload"])["rows"]:
            times.setdefault(name, latest)
    return times


def stored_run(rows: Rows, run_id: str) -> Run:
    """The run as its row has it."""
    row = rows.find("runs", run_id)
    if row is None:
        broken(f"runs/{run_id}", "the row is gone")
    return Run.model_validate(_decoded(row, "options", "origin", "reason"))


def _gate(row: Row) -> Gate:
    return Gate.model_validate(_decoded(row, "subject", "roles"))


def _decoded(row: Row, *columns: str) -> dict[str, Any]:
    return {**row, **{name: None if row[name] is None else read_stored_json(row[name]) for name in columns}}


def stored_signers(rows: Rows, policy: str) -> AllowedSigners | None:
    """People whose signatures count, by a run's stored policy, or `None` if decisions are not signed."""
    digest = str(read_stored_json(policy).get("allowed_signers", ""))
    if not digest:
        return None
    stored = rows.find("artifacts", digest)
    if stored is None or sha256(stored["content"]) != digest:
        broken(f"artifacts/{digest}", "these are not the allowed signers that the run's policy names")
    return AllowedSigners.from_canonical(stored["content"])


def _check_gate(gate: Gate, signers: AllowedSigners | None, rules: GateRules) -> None:
    if not rules.are_of(gate):
        broken(f"gates/{gate.id}", "it lets others decide than the run's policy does, or fewer, or for longer")
    if gate.subject_digest != subject_digest(gate.gate, gate.number, gate.subject):
        broken(f"gates/{gate.id}", "its digest is not that of its subject")
    if gate.subject.get(AllowedSigners.kind) != (signers.digest if signers else None):
        broken(f"gates/{gate.id}", "it does not take the signatures that the run's policy asks for")


def _recorded_decisions(events: list[Row]) -> Iterator[tuple[str, tuple[str, str, Mapping[str, Any]]]]:
    """For each row of `decisions`, the last event that touched it: kind, actor and payload."""
    for event in events:
        payload = read_stored_json(event["payload"])
        for name in payload["rows"]:
            if name.startswith("decisions/"):
                yield name, (event["kind"], event["actor"], payload)


def _inherited(events: list[Row]) -> Iterator[tuple[str, str]]:
    """The gates that an answer of an earlier run was carried to, each with the gate it was given at."""
    for event in events:
        if event["kind"] == EventKind.GATE_CARRIED:
            payload = read_stored_json(event["payload"])
            yield str(payload["gate"]), str(payload["from"])


def _check_inherited(rows: Rows, run: Run, gate: Gate, earlier_id: str) -> None:
    """Check that a carried answer is the one of the run that this one replays, to the very same question."""
    name, row = f"gates/{gate.id}", rows.find("gates", earlier_id)
    if row is None:
        broken(name, f"the answer it carries was given at {earlier_id}, which is not there")
    earlier = _gate(row)
    if run.origin is None or (run.origin.mode, run.origin.run) != ("replay", earlier.run_id):
        broken(name, f"the answer it carries is of {earlier.run_id}, which this run does not replay")
    if (earlier.gate, earlier.number, earlier.subject) != (gate.gate, gate.number, gate.subject):
        broken(name, f"the answer it carries was given to another question, {earlier_id}")
    if gate.status in _VERDICT and earlier.status != gate.status:
        broken(name, f"it is {gate.status}, but {earlier_id} is {earlier.status}")


def _check_conclusion(gate: Gate, quorum: int, decisions: list[Decision]) -> None:
    """Check that a gate says of itself what the decisions on it amount to."""
    if gate.status not in _VERDICT:
        return
    agreeing = [decision for decision in decisions if decision.verdict == _VERDICT[gate.status]]
    alone = gate.status != "approved" or any(decision.override for decision in agreeing)
    if len({decision.approver for decision in agreeing}) < (1 if alone else quorum):
        broken(f"gates/{gate.id}", f"it is {gate.status}, and no decisions say so")


def _check_recorded(row: Row, recorded: Mapping[str, tuple[str, str, Mapping[str, Any]]]) -> None:
    name = f"decisions/{row['id']}"
    kind, actor, payload = recorded[name]
    attested = (
        kind,
        actor,
        payload.get("gate"),
        payload.get("verdict"),
        payload.get("note"),
        payload.get("for_stage", 0),
    )
    tests = payload.get("tests", [])
    claimed = (row["approver"], row["gate_id"], row["verdict"], row["note"], row.get("for_stage", 0))
    if attested != (_SAID_BY[row["override"]], *claimed) or tests != read_stored_json(row.get("tests", "[]")):
        broken(name, "its event says something else, or is not the approver's own")


def _check_decision(
    gate: Gate,
    decision: Decision,
    rules: GateRules,
    signers: AllowedSigners | None,
    span: tuple[datetime, datetime],
) -> int:
    """Check one decision against its gate, and that it was made between two events; how many signatures that took.

    Args:
        gate: The gate.
        decision: The decision.
        rules: Rules of the gate by the run's policy.
        signers: People whose signatures count; `None`: decisions are not signed.
        span: Times of the events that opened the gate and that recorded the decision.
    """
    name = f"decisions/{decision.id}"
    if gate.subject_digest != decision.subject_digest:
        broken(name, "it was not made on this gate's subject")
    try:
        require_authorized(gate, decision, rules)
    except NotAllowed as error:
        broken(name, error.message)
    if signers is None or not needs_signature(gate):
        if decision.identity == "ssh" or decision.signature:
            broken(name, "it claims a signature where none is taken")
        _check_time(name, decision, span)
        return 0
    statement = statement_of(gate, decision)
    try:
        signer = signer_of(statement.content(), decision.signature, signers, namespace=DECISION_NAMESPACE, at=span[1])
    except NotAllowed as error:
        broken(name, error.message)
    if decision.identity != "ssh" or signer != decision.approver:
        broken(name, f"it is {decision.approver}'s, but {signer} signed it")
    _check_time(name, decision, span)
    return 1


def _check_time(name: str, decision: Decision, span: tuple[datetime, datetime]) -> None:
    if not span[0] <= decision.decided_at <= span[1]:
        broken(name, "it claims a time at which it was not made")


def _check_request(rows: Rows, run: Run, signers: AllowedSigners | None, events: list[Row]) -> int:
    """Check the requester's proof of who they are, where a gate of signed decisions excludes them."""
    if signers is None:
        return 0
    touched = read_stored_json(events[0]["payload"])["rows"]
    stored = (rows.find("artifacts", name.partition("/")[2]) for name in touched if name.startswith("artifacts/"))
    documents = [read_stored_json(row["content"]) for row in stored if row is not None]
    proof = next((document for document in documents if document.get("kind") == "request"), None)
    name = f"runs/{run.id}"
    if proof is None:
        broken(name, "policy excludes the requester from a gate, and nobody proved who they are")
    facts = {"run": run.id, "base": run.base_commit, "ticket": run.ticket, "policy": run.policy}
    if (proof["facts"], proof["principal"]) != (facts, run.requester):
        broken(name, "its requester's proof is about another run, or another person's")
    content = canonical_json({**facts, "principal": run.requester}).encode()
    try:
        signer = signer_of(content, proof["signature"], signers, namespace=REQUEST_NAMESPACE, at=run.created_at)
    except NotAllowed as error:
        broken(name, error.message)
    if signer != run.requester:
        broken(name, f"{run.requester} asked for it, but {signer} signed that")
    return 1
