"""Gates: they ask a person for a decision and compute the decision that holds.

A gate's answer is computed from the ledger each time (P4, P5). Whatever Prefect says of the flow run, and whatever woke
it, the digests are recomputed and the decisions are checked against them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.signals import Rejected, Remade, SubjectStale
from phasegate.flows.runs.audit_bundle import publish_run_head, require_published_chain
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact
from phasegate.infra.clock import SystemClock
from phasegate.infra.errors import NotAllowed
from phasegate.infra.identity import AllowedSigners, Person
from phasegate.infra.ledger import Decision, Gate
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.gates.gates import CLOSED
from phasegate.infra.policy.gates import GateName, InterruptGate
from phasegate.infra.system.threads import run_to_completion

Product = TypeVar("Product")
Done = TypeVar("Done")
Given = ParamSpec("Given")

MEASURED_ON = "the release is measured on while a person thinks"
_UNHURRIED_SECONDS = 0.5


@dataclass(frozen=True)
class Round:
    """A round of a gate.

    Attributes:
        number: From 1.
        note: The note of the person who sent the previous product back.
        previous: The product that was sent back; None in the first round.
        struck: Amendments that a person struck, in this round or before; they no longer hold.
        regrade: True if the same change is only graded again, without the struck amendments.
        remade: The product of this round, if it has been made already; None if it must be produced.
    """

    number: int = 1
    note: str = ""
    previous: Any = None
    struck: tuple[str, ...] = ()
    regrade: bool = False
    remade: Any = None


@runtime_checkable
class Precondition(Protocol):
    """Condition in the world that a product depends on, as one of the product's parts.

    Attributes:
        kind: Its name in the gate's subject.
        digest: The digest of the world's state when the product was made.
    """

    @property
    def kind(self) -> str:
        """Name of the condition in the gate's subject."""
        ...

    @property
    def digest(self) -> str:
        """Digest of the world's state when the product was made."""
        ...

    async def violation(self, run: RunContext) -> str:
        """Change since then, as a sentence; empty while it holds, or once the run has begun to act on it."""
        ...


Subject = Sequence[Artifact | Precondition]


async def produce_until_approved(
    run: RunContext,
    gate: GateName,
    produce: Callable[Concatenate[RunContext, Round, Given], Awaitable[Product]],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> Product:
    """Produce something and ask a person; produce it again while the answer is `revise` or comes too late.

    Raises:
        Rejected: The answer is no.
    """

    async def as_it_is(_run: RunContext, product: Product, /, *_args: Given.args, **_kwargs: Given.kwargs) -> Product:
        return product

    return await produce_and_apply(run, gate, produce, as_it_is, *args, **kwargs)


async def produce_and_apply(
    run: RunContext,
    gate: GateName,
    produce: Callable[Concatenate[RunContext, Round, Given], Awaitable[Product]],
    do: Callable[Concatenate[RunContext, Product, Given], Awaitable[Done]],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> Done:
    """Produce until approved, and apply the product; ask again if something else would be applied.

    Raises:
        Rejected: The answer is no.
    """
    round_ = Round()
    while True:
        product: Product = round_.remade or await produce(run, round_, *args, **kwargs)
        try:
            decision = await _await_decision(run, gate, round_.number, _parts_of(product))
        except SubjectStale as outdated:
            round_ = Round(round_.number + 1, outdated.why, product, round_.struck)
            continue
        if decision is None or decision.verdict == "approve":
            if gate == "change":
                run.keeps_tests = decision is not None and decision.keeps_tests
            try:
                return await do(run, product, *args, **kwargs)
            except Remade as remade:
                round_ = Round(round_.number + 1, remade.why, product, round_.struck, remade=remade.product)
                continue
        if decision.verdict == "reject":
            raise Rejected(gate, decision)
        struck = (*round_.struck, *decision.tests)
        round_ = Round(round_.number + 1, decision.note, product, struck, regrade=bool(decision.tests))


@runtime_checkable
class ConcurrentCheck(Protocol):
    """Check that runs while a gate is open and may close it, such as the background analysis of a release.

    Attributes:
        finished: True once the check has ended.
    """

    @property
    def finished(self) -> bool:
        """True once the check has ended."""
        ...

    def failure(self) -> str:
        """The reason to close the gate, as a sentence, or an empty text while the gate stands."""
        ...


async def request_decision(
    run: RunContext, gate: GateName, number: int, subject: Subject, *, checks: Sequence[ConcurrentCheck] = ()
) -> Decision | None:
    """Ask a person once for a decision.

    Args:
        run: The run.
        gate: The gate.
        number: The round of the gate: each different subject is a new round.
        subject: The subject of the decision.
        checks: Checks that run meanwhile; the run then waits in its engine for as long as it takes.

    Returns:
        The decision that holds, whatever its verdict, or None if policy has the gate off.

    Raises:
        SubjectStale: A precondition does not hold any more, or a concurrent check has ended the round.
    """
    return await _await_decision(run, gate, number, subject, checks)


async def require_decision(run: RunContext, gate: InterruptGate, number: int, subject: Artifact) -> Decision:
    """Ask for a decision that an agent needs, and return the one that holds, whatever its verdict."""
    decision = await _await_decision(run, gate, number, [subject])
    assert decision is not None, gate  # noqa: S101  policy cannot have an interrupt gate off
    return decision


def _parts_of(product: object) -> list[Artifact | Precondition]:
    """The parts of a product that a gate asks about: itself, or its artifacts and preconditions."""
    parts = cast("tuple[object, ...]", product) if isinstance(product, tuple) else (product,)
    return [part for part in parts if isinstance(part, Artifact | Precondition)]


async def _await_decision(
    run: RunContext, gate: GateName, number: int, subject: Subject, checks: Sequence[ConcurrentCheck] = ()
) -> Decision | None:
    """Wait for a decision that holds.

    Returns:
        The decision, or None if policy has the gate off.

    Raises:
        SubjectStale: A precondition of the subject does not hold any more; the round is over, whatever was decided.
    """
    policy = run.policy.gates.named(gate)
    forced = any(isinstance(part, Artifact) and part.needs_person for part in subject)
    if policy.off and not forced:
        run.ledger.note(
            run.id,
            EventKind.GATE_SKIPPED,
            payload=payloads.GateSkipped(gate=gate, number=number, reason=policy.reason),
        )
        return None
    ask = partial(_await_people, run, gate, number, subject, checks, forced=forced)
    return await run.source.decide(gate, number, ask)


async def _await_people(
    run: RunContext,
    gate: GateName,
    number: int,
    subject: Subject,
    checks: Sequence[ConcurrentCheck],
    *,
    forced: bool,
) -> Decision:
    """Open a gate and wait for a decision of people that holds.

    Raises:
        SubjectStale: As `_await_decision`.
    """
    ledger = run.ledger
    accepting = [test for part in subject if isinstance(part, Artifact) for test in part.to_accept]
    at_once = not checks and all(isinstance(part, Artifact) for part in subject)  # nothing can end the round first
    while True:
        run.raise_if_interrupted()
        digests = _digests(run, subject)
        row = await _asked(run, gate, number, digests, waits=at_once, in_advance=not forced)
        if why := _ended_by(checks) or await _outdated(run, subject):
            ledger.gates.mark_stale(row, why)
            raise SubjectStale(why)
        if not forced:
            _decide_in_advance(run, row)
        if (decision := ledger.gates.effective_decision(row, digests, accepting=accepting)) is not None:
            ledger.runs.set_status(run.id, "running")
            return decision
        if row.status != "open":  # as it was before the decisions were read: one made since is no contradiction
            ledger.gates.void(row, f"the gate's row says {row.status}, but no decision that counts says so")
            continue
        reason, wake_at = ({"code": "measuring", "message": MEASURED_ON}, row.opened_at) if checks else (None, None)
        ledger.runs.set_status(run.id, "waiting", reason=reason, wake_at=wake_at)
        await run.executor.wait_until(
            f"gate:{gate}:{number}:{row.subject_digest.removeprefix('sha256:')[:12]}",
            run_id=run.id,
            decided=lambda: _is_answered(run, row) or any(check.finished for check in checks),  # noqa: B023  called before the next pass
            settings=run.settings,
            in_process=bool(checks),
        )
        if _ended_by(checks):
            continue
        if (decision := await _effective_decision(run, row, subject, accepting)) is not None:
            return decision


async def _effective_decision(
    run: RunContext, row: Gate, subject: Subject, accepting: Sequence[str]
) -> Decision | None:
    """The decision that holds at a gate whose wait has just ended.

    The person who decided is watching, so only what the decision depends on is checked here.

    Returns:
        The decision, or None if the gate must be asked again.
    """
    await note_forced_states(run, [row])
    run.raise_if_interrupted()
    gates, digests = run.ledger.gates, _digests(run, subject)
    if gates.get(row.id).status in CLOSED or await _outdated(run, subject):
        return None
    decision = gates.effective_decision(row, digests, accepting=accepting)
    if decision is not None:
        run.ledger.runs.set_status(run.id, "running")
    return decision


async def _asked(
    run: RunContext,
    gate: GateName,
    number: int,
    digests: Mapping[str, str],
    *,
    waits: bool = True,
    in_advance: bool = True,
) -> Gate:
    """The gate of this round about these digests.

    Raises:
        SubjectStale: The round is over.
    """
    ledger = run.ledger
    rows = {row.id: row for row in ledger.gates.list(run.id)}
    await asyncio.to_thread(require_published_chain, ledger, run.record, lambda: run.world.repository)
    for row in rows.values():
        if (row.gate, row.number, row.status) == (gate, number, "outdated"):
            raise SubjectStale(ledger.gates.stale_reason(row))
    row = ledger.gates.open(
        run.record,
        gate,
        number,
        subject=digests,
        waits=waits and not (in_advance and gate in run.record.options.approve) and run.origin is None,
    )
    if run.origin is not None:
        row = ledger.gates.inherit(row, run.origin.run)
    if row.id not in rows:
        await asyncio.to_thread(publish_run_head, ledger, run.record, lambda: run.world.repository)
    return row


def _ended_by(checks: Sequence[ConcurrentCheck]) -> str:
    return next((why for check in checks if (why := check.failure())), "")


async def _outdated(run: RunContext, subject: Subject) -> str:
    """The violated preconditions of a subject, as sentences, or an empty text if all hold."""
    violations = [await part.violation(run) for part in subject if not isinstance(part, Artifact)]
    return " ".join(violation for violation in violations if violation)


def _digests(run: RunContext, subject: Subject) -> Mapping[str, str]:
    """The digests that a decision is bound to.

    Raises:
        TrailBroken: A stored text does not have its digest.
    """
    ledger = run.ledger
    digests: dict[str, str] = {}
    for part in subject:
        count = sum(name.partition(" ")[0] == part.kind for name in digests)  # several of a kind are numbered
        name = f"{part.kind} {count + 1}" if count else part.kind
        if isinstance(part, Artifact):
            ledger.artifacts.text(part.digest)
        digests[name] = part.digest
    stored = ledger.artifacts.text(run.record.policy)
    digests["policy"] = run.record.policy
    if signers := _allowed_signers(stored):
        digests[AllowedSigners.kind] = signers
    return digests


@lru_cache(maxsize=64)
def _allowed_signers(stored_policy: str) -> str:
    return StoredPolicy.from_canonical(stored_policy).allowed_signers


async def note_forced_states(run: RunContext, rows: Iterable[Gate]) -> None:
    """Start to record the states that others forced in Prefect while gates were open.

    Effects: a `state.refused` event for each state, once; after a short delay, or when the pass ends if that is sooner.
    """
    run.background.start(_note_forced_states(run, [row for row in rows if row.status not in CLOSED]))
    await asyncio.sleep(0)  # so that it has begun, whatever comes next


async def _note_forced_states(run: RunContext, rows: Sequence[Gate]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(_UNHURRIED_SECONDS)
    await run_to_completion(_look_for_forced_states(run, rows))


async def _look_for_forced_states(run: RunContext, rows: Sequence[Gate]) -> None:
    gates = run.ledger.gates
    for row in rows:
        answered = [decision.decided_at for decision in gates.decisions(run.id) if decision.gate_id == row.id]
        until = max(answered, default=None) if gates.get(row.id).status != "open" else None
        for state in await run.executor.forced_states(row.opened_at, until):
            payload = {"state": state.name, "id": str(state.id), "why": "only decisions in the ledger open a gate"}
            gates.note_once(row, EventKind.STATE_REFUSED, payload)


def _decide_in_advance(run: RunContext, row: Gate) -> None:
    """Record the requester's standing decision, if they gave one for this gate and policy lets them."""
    if row.status != "open" or row.gate not in run.record.options.approve:
        return
    person = Person(run.record.requester, "local")
    with contextlib.suppress(NotAllowed):  # the ledger has recorded the refusal
        run.ledger.gates.decide(row.id, "approve", person, note="approved in advance", standing=True)


def _is_answered(run: RunContext, row: Gate) -> bool:
    ledger = run.ledger
    if ledger.runs.get(run.id).request:
        return True
    now = ledger.gates.get(row.id)
    return now.status != "open" or now.expires_at <= SystemClock().now()
