"""Checking who commanded what from the stored rows alone: the part of the audit that knows about commands.

Called by `audit` once chain and rows hold. A run whose policy is of a version without `[commands]` has none to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from phasegate.infra.errors import NotAllowed
from phasegate.infra.ledger.chain import Link
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.gates.commands import (
    bound_to,
    check_command,
    command_rules_of,
    commands_in,
    replay_command,
)
from phasegate.infra.ledger.gates.standing import STANDING_KINDS, standing
from phasegate.infra.ledger.records import Run
from phasegate.infra.ledger.trail.decisions import broken, stored_policy, stored_run, stored_signers
from phasegate.infra.ledger.trail_rows import Rows


def check_commands(rows: Rows, run_id: str) -> int:
    """Check a run's commands in the order they were given; how many signatures hold.

    Raises:
        TrailBroken: Naming the first command, request, message or answer that does not hold.
        ConfigError: There are signatures to verify, and ssh-keygen is missing.
    """
    run = stored_run(rows, run_id)
    policy = stored_policy(rows, run)
    rules = command_rules_of(policy)
    signed = _check_replay(rows, run)
    if rules is None:
        return signed
    signers = stored_signers(rows, policy)
    links, times = _events(rows, run_id)
    for link, command, after in commands_in(run_id, links):
        try:
            signed += check_command(command, rules, signers, after=after, at=times[link.position])
        except NotAllowed as error:
            broken(f"events/{run_id}/{link.position}", error.message)
    if not standing(run_id, links, lambda _: True).is_of(run):
        broken(f"runs/{run_id}", "no command gave it the request or the status that it has")
    _check_messages(rows, run_id, links)
    _check_answers(rows, run, links)
    return signed


def _events(rows: Rows, run_id: str) -> tuple[Sequence[Link], Mapping[int, datetime]]:
    """Events that say where a run stands, and the time of each, or of an earlier event that says a later time."""
    links, times = list[Link](), dict[int, datetime]()
    latest = datetime.min.replace(tzinfo=UTC)
    for row in sorted(rows.of_run("events", run_id), key=lambda row: int(row["position"])):
        latest = max(latest, datetime.fromisoformat(row["at"]))
        times[int(row["position"])] = latest
        link = Link.of(row) if row["kind"] in {*STANDING_KINDS, EventKind.RUN_ACCEPTED} else None
        if link is not None:
            links.append(link)
    return links, times


def _check_replay(rows: Rows, run: Run) -> int:
    """Check that the person who asked for a replay might, by the earlier run's policy; how many signatures that took.

    A bundle of a rehearsal, which performs nothing, does not hold the earlier run; the database does.
    """
    if run.origin is None or (run.origin.is_rehearsal and rows.find("runs", run.origin.run) is None):
        return 0
    earlier = stored_run(rows, run.origin.run)
    policy = stored_policy(rows, earlier)
    rules = command_rules_of(policy)
    if rules is None:
        return 0
    (first, *_), _times = _events(rows, run.id)
    links, _times = _events(rows, earlier.id)
    command = replay_command(run.id, run.origin, first.actor, str(first.payload.get("signature", "")))
    try:
        signers = stored_signers(rows, policy)
        return check_command(command, rules, signers, after=bound_to(command, links), at=first.at)
    except NotAllowed as error:
        broken(f"events/{run.id}/1", error.message)


def _check_messages(rows: Rows, run_id: str, links: Sequence[Link]) -> None:
    """Check that each message is one that an event says a person sent."""
    sent = {link.payload["message"]: link for link in links if link.kind == EventKind.MESSAGE_QUEUED}
    for row in rows.of_run("messages", run_id):
        link = sent.get(row["id"])
        if link is None or (link.actor, link.payload["text"]) != (row["sender"], row["text"]):
            broken(f"messages/{row['id']}", "no event says that its sender sent it")


def _check_answers(rows: Rows, run: Run, links: Sequence[Link]) -> None:
    """Check that each answer is one that an event says a person gave; a rehearsal repeats those of its original."""
    given = {link.payload["question"]: link for link in links if link.kind == EventKind.QUESTION_ANSWERED}
    for row in rows.of_run("questions", run.id):
        if row["answer"] is None or run.rehearsed_run is not None:
            continue
        link = given.get(row["id"])
        if link is None or (link.actor, link.payload["text"]) != (row["answered_by"], row["answer"]):
            broken(f"questions/{row['id']}", "no event says that a person answered it so")
