"""The ledger against a model of it, in any order: several engines, people, crashes, a moving clock.

Every call may die just before or just after its transaction commits (`crash_points`), after which the database is
opened again. The model says what must have happened; the invariants are the promises, checked after every step.

Mutations tried: `Attempt.has_finished_from` always False, a finished attempt is then begun again (P2); `_hold` without
comparing holder and token, who was replaced then finishes (P2); `_deliver` takes what was delivered again, messages
expire instead of being delivered (P11).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.ledgers import Thing, accepted, policy_with

from phasegate.infra import crash_points
from phasegate.infra.clock import FixedClock
from phasegate.infra.errors import LeaseHeld, NotAllowed
from phasegate.infra.identity import Person
from phasegate.infra.ledger import Attempt, Lease, Ledger, Run
from phasegate.infra.ledger.records import Verdict

HOLD, GATE_EXPIRES = timedelta(seconds=60), timedelta(minutes=10)
RUNS, ENGINES, PEOPLE = ("run-one",), ("here/1", "there/1"), ("ana", "bo", "cy")
REQUESTER, QUORUM = "ana", 2
CONCLUSION = {"approve": "approved", "revise": "revised", "reject": "rejected"}
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
"""A process dies here and never the machine, so no disk needs to be waited for."""

T = TypeVar("T")
runs, engines, numbers = st.sampled_from(RUNS), st.sampled_from(ENGINES), st.integers(1, 4)
crashes = st.sampled_from(["", "", "", "before", "after"])


class Killed(BaseException):
    """The process is gone at the crash point of this name."""


@dataclass
class Owner:
    """Owner of a run's lease, with its token and its end."""

    engine: str
    token: int
    until: datetime


@dataclass
class Asked:
    """A gate as it should be."""

    gate_id: str
    subject: str
    until: datetime
    status: str = "open"
    decisions: dict[str, Verdict] = field(default_factory=dict[str, Verdict])


@dataclass
class Said:
    """A message as it should be: for the agent at work where there was one, else for the next."""

    is_for_stage: bool
    status: str = "queued"
    read: tuple[str, int] | None = None


@dataclass(frozen=True)
class Work:
    """An attempt that an engine believes to be working on."""

    engine: str
    run_token: int
    attempt: Attempt
    lease: Lease


@cache
def empty_database() -> bytes:
    """A migrated ledger without a row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger.open(f"sqlite:///{path}").close()
        return path.read_bytes()


class LedgerModel(RuleBasedStateMachine):
    """Model of the ledger, which is compared with the ledger after every step."""

    works = Bundle("works")

    def __init__(self) -> None:
        """An accepted run that no engine owns."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="phasegate-model-", dir=MEMORY))
        (self.folder / "ledger.db").write_bytes(empty_database())
        self.clock = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        self.ledger = self._open()
        self.owners: dict[str, Owner] = {}
        self.known_leases: dict[tuple[str, str], Lease] = {}
        self.attempt_tokens: dict[str, int] = {}
        self.finished: dict[str, str] = {}
        self.gates: dict[str, list[Asked]] = {run: [] for run in RUNS}
        self.effects: dict[str, str] = {}
        self.said: dict[str, Said] = {}
        self.at_work: set[str] = set()
        for run in RUNS:
            self._accept(run)

    def teardown(self) -> None:
        """P13: whatever happened, the audit passes; a row that once does not hold never holds again."""
        try:
            for run in RUNS:
                self.ledger.audit(run)
        finally:
            self.ledger.close()
            shutil.rmtree(self.folder)

    @initialize(target=works)
    def begun(self) -> Any:
        """Begin a run's work: most rules need an engine at work, and a message to its agent."""
        self.say(RUNS[0], "")
        self.take(RUNS[0], ENGINES[0], "")
        return self.begin(RUNS[0], ENGINES[0], 1, "")

    @rule(run=runs, engine=engines, crash=crashes)
    def take(self, run: str, engine: str, crash: str) -> None:
        owner = self.owners.get(run)
        free = owner is None or owner.engine == engine or owner.until <= self.clock.now()
        try:
            lease = self._repeated(lambda: self.ledger.leases.take(run, engine), crash)
        except LeaseHeld:
            assert not free
            return
        assert free
        assert owner is None or lease.token == owner.token + (owner.engine != engine or owner.until <= self.clock.now())
        self.owners[run] = Owner(engine, lease.token, self.clock.now() + HOLD)
        self.known_leases[run, engine] = lease

    @rule(run=runs, engine=engines)
    def let_go(self, run: str, engine: str) -> None:
        if lease := self.known_leases.get((run, engine)):
            self.ledger.leases.release(lease)
            if self._is_newest(run, engine):
                self.owners[run].until = self.clock.now()

    @rule(target=works, run=runs, engine=engines, number=numbers, crash=crashes)
    def begin(self, run: str, engine: str, number: int, crash: str) -> Any:
        if (run, engine) not in self.known_leases:
            return multiple()
        attempt_id = f"{run}/prd/{number}"

        def call() -> tuple[Attempt, Lease | None]:
            return self._fenced(run, engine).attempts.begin(
                run, "prd", "", number, inputs={"ticket": "1"}, model="m", prompt="p", holder=engine
            )

        try:
            attempt, lease = self._repeated(call, crash)
        except LeaseHeld:
            assert not self._is_newest(run, engine)
            return multiple()
        if attempt_id in self.finished:
            assert (attempt.status, attempt.artifact, lease) == ("finished", self.finished[attempt_id], None)
            return multiple()
        assert self._is_newest(run, engine)
        assert lease is not None
        assert lease.token > self.attempt_tokens.get(attempt_id, 0)
        self.attempt_tokens[attempt_id] = lease.token
        self.at_work.add(attempt_id)
        return Work(engine, self.known_leases[run, engine].token, attempt, lease)

    @rule(target=works, work=works, crash=crashes)
    def begin_again(self, work: Work, crash: str) -> Any:
        """Begin an attempt again in the same engine, while the flow before still ends."""
        return self.begin(work.attempt.run_id, work.engine, work.attempt.number, crash)

    @rule(work=consumes(works), fails=st.sampled_from([False, False, True]), crash=crashes)
    def end(self, work: Work, fails: bool, crash: str) -> None:
        run, attempts = work.attempt.run_id, self._fenced_as(work).attempts
        made = Thing(name=f"{work.engine} {work.lease.token}")
        allowed = self._holds(work)
        try:
            if fails:
                happened = self._once(lambda: attempts.fail(work.attempt, work.lease, {"code": "x"}), crash)
            else:
                happened = self._once(lambda: attempts.finish(work.attempt, work.lease, made), crash)
        except LeaseHeld:
            assert not allowed, f"{work} of {run} was refused"
            return
        if happened:
            assert allowed, f"{work} wrote late"
            self.at_work.discard(work.attempt.id)
            if not fails:
                self.finished[work.attempt.id] = made.digest
                for said in self.said.values():
                    if said.status == "queued" and said.is_for_stage:
                        said.status = "expired"

    @rule(work=works, turn=st.integers(1, 3), crash=crashes)
    def deliver(self, work: Work, turn: int, crash: str) -> None:
        attempt = work.attempt
        queued = [said for said in self.said.values() if said.status == "queued"]
        try:
            got = self._repeated(lambda: self._fenced_as(work).messages.deliver(attempt, turn), crash)
        except LeaseHeld:
            assert queued
            assert not self._is_owner(work)
            return
        if queued:
            assert self._is_owner(work)
        for said in queued:
            said.status, said.read = "delivered", (attempt.id, turn)
        expected = {text for text, said in self.said.items() if said.read == (attempt.id, turn)}
        assert {message.text for message in got} == expected

    @rule(run=runs, crash=crashes)
    def say(self, run: str, crash: str) -> None:
        text = f"{run} {len(self.said)}"
        if self._once(lambda: self.ledger.messages.queue(run, text, sender="bo"), crash):
            self.said[text] = Said(is_for_stage=bool(self.at_work))

    @rule(run=runs, engine=engines, subject=st.sampled_from(["one", "other"]), crash=crashes)
    def ask(self, run: str, engine: str, subject: str, crash: str) -> None:
        if not self._is_newest(run, engine):
            return
        gate = self._repeated(
            lambda: self._fenced(run, engine).gates.open(
                self._run(run),
                "prd",
                1,
                subject={"prd": subject},
            ),
            crash,
        )
        standing: Asked | None = None
        for asked in self.gates[run]:
            if asked.status in {"void", "expired"}:
                continue
            if asked.status == "open" and asked.until <= self.clock.now():
                asked.status = "expired"
            elif asked.subject != subject:
                asked.status = "void"
            else:
                standing = asked
        if standing is None:
            standing = Asked(gate.id, subject, self.clock.now() + GATE_EXPIRES)
            self.gates[run].append(standing)
        assert (gate.id, gate.status) == (standing.gate_id, standing.status)

    @rule(
        run=runs, who=st.sampled_from(PEOPLE), verdict=st.sampled_from(["approve", "approve", "reject"]), crash=crashes
    )
    def decide(self, run: str, who: str, verdict: Verdict, crash: str) -> None:
        for asked in self.gates[run]:
            allowed = (
                asked.status == "open"
                and asked.until > self.clock.now()
                and who != REQUESTER
                and who not in asked.decisions
            )
            call = partial(self.ledger.gates.decide, asked.gate_id, verdict, Person(who, "local"))
            try:
                happened = self._once(call, crash)
            except NotAllowed:
                assert not allowed
                continue
            if happened and allowed:
                asked.decisions[who] = verdict
                approvals = list(asked.decisions.values()).count("approve")
                if verdict != "approve" or approvals >= QUORUM:
                    asked.status = CONCLUSION[verdict]

    @rule(run=runs, engine=engines, step=st.sampled_from(["intend", "done", "undone"]), crash=crashes)
    def change_the_world(self, run: str, engine: str, step: str, crash: str) -> None:
        key, known = f"{run}/merge", self.effects.get(f"{run}/merge")
        if (run, engine) not in self.known_leases or (step != "intend" and known is None):
            return
        effects = self._fenced(run, engine).effects

        def call() -> object:
            if step == "intend":
                return effects.intend(run, "merge", key, intent={"by": engine}, compensation="revert")
            return getattr(effects, step)(effects.get(key), {"by": engine})

        if step == "done" and known != "intended":
            return
        try:
            happened = self._once(call, crash)
        except LeaseHeld:
            assert not self._is_newest(run, engine)
            return
        if step == "intend" and known is not None:
            return
        if happened:
            assert self._is_newest(run, engine), f"{engine} wrote late"
            self.effects[key] = {"intend": "intended"}.get(step, step)

    @rule(seconds=st.sampled_from([1, 30, 61, 700]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = self._open()

    @invariant()
    def p2_a_finished_attempt_stays_as_it_was(self) -> None:
        for attempt_id, digest in self.finished.items():
            attempt = self.ledger.attempts.get(attempt_id)
            assert (attempt.status, attempt.artifact) == ("finished", digest)

    @invariant()
    def p2_an_attempt_finishes_once(self) -> None:
        assert self._counted("attempt.finished", "attempt") == Counter(self.finished.keys())

    @invariant()
    def p3_effects_are_as_they_were_written(self) -> None:
        found = {effect.key: effect.status for run in RUNS for effect in self.ledger.effects.list(run)}
        assert found == self.effects
        assert all(count == 1 for count in self._counted("effect.intended", "effect").values())

    @invariant()
    def p4_gates_and_decisions_are_as_people_left_them(self) -> None:
        for run in RUNS:
            found = {gate.id: gate.status for gate in self.ledger.gates.list(run)}
            assert found == {asked.gate_id: asked.status for asked in self.gates[run]}
            made = Counter((one.gate_id, one.approver, one.verdict) for one in self.ledger.gates.decisions(run))
            assert made == Counter(
                (asked.gate_id, who, verdict) for asked in self.gates[run] for who, verdict in asked.decisions.items()
            )

    @invariant()
    def p4_what_decisions_amount_to_is_for_their_subject_only(self) -> None:
        for run in RUNS:
            for asked in self.gates[run]:
                gate = self.ledger.gates.get(asked.gate_id)
                assert self.ledger.gates.effective_decision(gate, {"prd": "third"}) is None
                ruling = self.ledger.gates.effective_decision(gate, {"prd": asked.subject})
                if asked.status in CONCLUSION.values():
                    assert ruling is not None
                    assert CONCLUSION[ruling.verdict] == asked.status
                elif asked.status == "open":
                    assert ruling is None

    @invariant()
    def p11_a_message_is_delivered_once_or_waits(self) -> None:
        for run in RUNS:
            for message in self.ledger.messages.list(run):
                said = self.said[message.text]
                assert (message.status, message.attempt_id is not None) == (
                    said.status,
                    said.is_for_stage or said.read is not None,
                )
                assert said.read is None or (message.attempt_id, message.turn) == said.read
        delivered = [
            name
            for run in RUNS
            for event in self.ledger.events(run)
            if event.kind == "message.delivered"
            for name in event.payload["messages"]
        ]
        assert len(delivered) == len(set(delivered)) == sum(said.read is not None for said in self.said.values())

    def _open(self) -> Ledger:
        return Ledger.open(f"sqlite:///{self.folder / 'ledger.db'}", clock=self.clock, lease=HOLD)

    def _accept(self, run: str) -> None:
        policy = policy_with(quorum=QUORUM, exclude_requester=True, expires=GATE_EXPIRES)
        accepted(self.ledger, run, requester=REQUESTER, policy=policy)

    def _run(self, run: str) -> Run:
        return self.ledger.runs.get(run)

    def _fenced(self, run: str, engine: str) -> Ledger:
        return self.ledger.fenced(self.known_leases[run, engine])

    def _fenced_as(self, work: Work) -> Ledger:
        lease = self.known_leases[work.attempt.run_id, work.engine]
        return self.ledger.fenced(lease.model_copy(update={"token": work.run_token}))

    def _is_newest(self, run: str, engine: str) -> bool:
        owner, lease = self.owners.get(run), self.known_leases.get((run, engine))
        return owner is not None and lease is not None and (owner.engine, owner.token) == (engine, lease.token)

    def _is_owner(self, work: Work) -> bool:
        owner = self.owners[work.attempt.run_id]
        return (owner.engine, owner.token) == (work.engine, work.run_token)

    def _holds(self, work: Work) -> bool:
        return self._is_owner(work) and self.attempt_tokens[work.attempt.id] == work.lease.token

    def _counted(self, kind: str, name: str) -> Counter[str]:
        events = [event for run in RUNS for event in self.ledger.events(run)]
        return Counter(str(event.payload[name]) for event in events if event.kind == kind)

    def _once(self, call: Callable[[], object], crash: str) -> bool:
        """Make a call that may die.

        Returns:
            True if its change is in the ledger.
        """
        try:
            self._killed(call, crash)
        except Killed as killed:
            self.reopen()
            return crash == "after" and killed.args != ("after:write.refused",)
        return True

    def _repeated(self, call: Callable[[], T], crash: str) -> T:
        """Make a call that may die, and make it again if it did: as an engine does that takes over."""
        with suppress(Killed):
            return self._killed(call, crash)
        self.reopen()
        return call()

    @staticmethod
    def _killed(call: Callable[[], T], crash: str) -> T:
        live = crash_points.reached

        def reached(name: str) -> None:
            if crash and name.startswith(f"{crash}:"):
                raise Killed(name)

        crash_points.reached = reached
        try:
            return call()
        finally:
            crash_points.reached = live


class LedgerModelAtLength(LedgerModel):
    """The same, for `make proof`."""


QUICK = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure is made smaller by `make proof`, which has the minutes for it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestLedgerModel = pytest.mark.timeout(1800)(LedgerModel.TestCase)
TestLedgerModel.settings = QUICK
TestLedgerModelAtLength = pytest.mark.proof(pytest.mark.timeout(3600)(LedgerModelAtLength.TestCase))
TestLedgerModelAtLength.settings = settings(
    QUICK, max_examples=200, stateful_step_count=50, phases=[Phase.generate, Phase.shrink]
)
