"""A run in a ledger of the test's own: what tests of gates, attempts and trails begin with.

Called by fixtures, which say only what matters to them. Knows nothing of who carries runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact
from phasegate.infra.clock import SystemClock, WallClock
from phasegate.infra.ledger import Ledger, Run, RunOptions
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.ledger.storage import schema
from phasegate.infra.ledger.storage.database import connect
from phasegate.infra.ledger.storage.store import GENESIS, Store, event_hash
from phasegate.infra.ledger.storage.transaction import Connections
from phasegate.infra.policy.commands import CommandsPolicy
from phasegate.infra.policy.gates import GATES, INTERRUPT_GATES, GatePolicy, GatesPolicy
from phasegate.infra.policy.model import LifecyclePolicy, Policy


class Thing(Artifact):
    """An artifact of no particular kind."""

    kind: ClassVar[str] = "thing"
    name: str


def policy_with(
    *,
    people: Sequence[str] = (),
    quorum: int = 1,
    exclude_requester: bool = False,
    expires: timedelta = timedelta(days=1),
    admins: Sequence[str] = (),
    allowed_signers: str = "",
    commands: Mapping[str, Sequence[str]] = {},
) -> StoredPolicy:
    """A stored policy whose gates all have these rules; without people, anyone may decide.

    `commands` names the people who may give a command; anyone may give the others.
    """
    roles = ("deciders",) if people else ()
    gate = GatePolicy(roles=roles, quorum=quorum, exclude_requester=exclude_requester, expires=expires)
    named = {"deciders": tuple(people), "admin": tuple(admins)}
    named |= {f"to-{command}": tuple(commanders) for command, commanders in commands.items()}
    policy = Policy(
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        gates=GatesPolicy(**dict.fromkeys({*GATES, *INTERRUPT_GATES}, gate)),
        roles={role: names for role, names in named.items() if names},
        commands=CommandsPolicy.model_validate({command: [f"to-{command}"] for command in commands}),
    )
    return StoredPolicy(policy=policy, allowed_signers=allowed_signers)


def accepted(ledger: Ledger, run_id: str = "run-one", **changes: Any) -> Run:
    """Accept a run that Ana asked for; what `Runs.accept` takes may be given otherwise."""
    asked: dict[str, Any] = {
        "title": "A title",
        "ticket": Thing(name="ticket"),
        "policy": policy_with(),
        "repository": "/somewhere",
        "base_branch": "main",
        "base_commit": "abc",
        "requester": "ana",
        "options": RunOptions(),
        "definition": "1",
        **changes,
    }
    return ledger.runs.accept(run_id, **asked)


def rewrite(file: Path, run_id: str, actor: str) -> None:
    """Rewrite a run's whole chain with another actor of its first event: each hash follows from the one before."""
    with sqlite3.connect(file) as database:
        database.row_factory = sqlite3.Row
        query = "SELECT * FROM events WHERE run_id = ? ORDER BY position"
        previous = GENESIS
        for row in database.execute(query, [run_id]).fetchall():
            who = actor if row["position"] == 1 else row["actor"]
            facts = (run_id, row["position"], row["at"], row["kind"], who, row["payload"])
            digest = event_hash(previous, *facts)
            command = "UPDATE events SET actor = ?, previous = ?, hash = ? WHERE id = ?"
            database.execute(command, [who, previous, digest, row["id"]])
            previous = digest
    database.close()


def forge(
    url: str,
    run_id: str,
    kind: EventKind,
    actor: str,
    payload: Mapping[str, Any],
    *,
    row: Mapping[str, Any] | None = None,
    clock: WallClock | None = None,
) -> None:
    """Append the event of a command with the ledger's own code, as anyone who has its file can.

    Args:
        url: The ledger's.
        run_id: The run.
        kind: The event's kind.
        actor: The person whom it names.
        payload: Its facts.
        row: Columns of the message or the question that goes with it, its id among them.
        clock: The ledger's clock.
    """
    store = Store(Connections(connect(url)), clock or SystemClock(), timedelta(seconds=60))
    request = kind.removeprefix("run.").removesuffix("-requested")
    with store.change(run_id, kind, actor=actor, payload=payload) as change:
        if kind == EventKind.RUN_RESUMED:
            change.update(schema.runs, run_id, status="running", request="", reason=None)
        elif kind == EventKind.QUESTION_ANSWERED and row is not None:
            change.update(schema.questions, row["id"], **row)
        elif row is not None:
            change.insert(schema.messages, run_id=run_id, **row)
        else:
            change.update(schema.runs, run_id, request=request, status="running", finished_at=None)
    store.connections.close()
