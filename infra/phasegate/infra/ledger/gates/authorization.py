"""Authorization of decisions at a gate, and the statement that each decision makes.

Who may decide is in the run's stored policy alone. A gate's row repeats it for readers, and is compared with it. Pure:
it reads nothing but the records it is given. Used by `gates`, when a decision is made and each time it is read, by the
audit, and where a person is shown the bytes to sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.documents.json_text import read_stored_json
from phasegate.infra.errors import NotAllowed, TrailBroken
from phasegate.infra.identity import AllowedSigners, DecisionStatement
from phasegate.infra.ledger.records import KEEP_TESTS, Decision, Gate, Run, Verdict
from phasegate.infra.policy.gates import ADMIN, GATES, GateName, GatesPolicy

_RAISED, _PERMITTED, _CHANGED = "budget", "permission", "change"
"""The gates at which the verdicts mean something of their own."""

_POLICY, _CHANGE_SET = "policy", "change-set"
"""Kinds of the artifacts with a run's policy and with its change."""


@dataclass(frozen=True)
class GateRules:
    """Rules of a gate, by the stored policy of its run.

    Attributes:
        people: People who may decide, by name; `None`: anyone.
        quorum: Number of people who must approve.
        exclude_requester: True if the requester may not decide.
        expires: Time for which the gate may stay open.
        admins: People who may pass the gate against these rules.
        requester: The person who asked for the run.
        authority_files: Files of the change at this gate that decide who decides: only admins may, if there are any.
    """

    people: tuple[str, ...] | None
    quorum: int
    exclude_requester: bool
    expires: timedelta
    admins: tuple[str, ...]
    requester: str
    authority_files: tuple[str, ...] = ()

    def are_of(self, gate: Gate) -> bool:
        """True if a gate's row lets the same people decide, as many, and for no longer."""
        known = (self.people or (), self.quorum, self.exclude_requester, self.requester)
        is_same = (gate.roles, gate.quorum, gate.exclude_requester, gate.requester) == known
        return is_same and gate.expires_at - gate.opened_at <= self.expires

    def require_same(self, gate: Gate) -> None:
        """Stop unless a gate's row has these rules.

        Raises:
            NotAllowed: It has others.
        """
        if not self.are_of(gate):
            raise NotAllowed(f"the row of gate {gate.gate} was altered: it has other rules than the run's policy")


def rules_of(run: Run, stored_policy: str, gate: str, change: str = "") -> GateRules:
    """Rules of a gate of a run.

    A change of who decides takes admins, if policy has any: at most as many as there are.

    Args:
        run: The run.
        stored_policy: Content of the artifact that the run's `policy` names.
        gate: The gate's name.
        change: Content of the change that the gate is about; empty for other gates.

    Raises:
        TrailBroken: That is not the run's policy.
    """
    if sha256(stored_policy) != run.policy:
        raise TrailBroken("the run's stored policy was altered", remedy="Compare with a copy of the ledger.")
    gates, roles = _gates_in(stored_policy)
    policy = gates.named(cast("GateName", gate))
    people = tuple(sorted({name for role in policy.roles for name in roles[role]})) if policy.roles else None
    admins, quorum = tuple(roles.get(ADMIN, ())), policy.quorum
    authority_files: tuple[str, ...] = tuple(read_stored_json(change).get("authority_files", ())) if change else ()
    if authority_files and admins:
        people, quorum = tuple(sorted(set(admins))), min(quorum, len(set(admins)))
    return GateRules(people, quorum, policy.exclude_requester, policy.expires, admins, run.requester, authority_files)


def change_of(gate: str, subject: Mapping[str, str]) -> str:
    """Digest of the change that a gate asks about; empty if it asks about none."""
    return subject.get(_CHANGE_SET, "") if gate == _CHANGED else ""


def excludes_requester(stored_policy: str) -> bool:
    """True if some gate of a stored policy excludes the person who asked for the run."""
    gates, _ = _gates_in(stored_policy)
    return any(gates.named(gate).exclude_requester for gate in GATES)


@lru_cache(maxsize=64)
def _gates_in(stored_policy: str) -> tuple[GatesPolicy, dict[str, list[str]]]:
    """The gates of a stored policy, and the people of its roles."""
    document: dict[str, Any] = read_stored_json(stored_policy)
    if document["kind"] != _POLICY:
        raise TrailBroken("the run's policy is no policy", remedy="Compare with a copy of the ledger.")
    policy: dict[str, Any] = document["policy"]
    return GatesPolicy.model_validate(policy.get("gates", {})), policy.get("roles", {})


def subject_digest(gate: str, number: int, subject: Mapping[str, str]) -> str:
    """Digest that a decision is bound to: of the gate, the round, and every digest of the subject."""
    return sha256(canonical_json({"gate": gate, "number": number, "subject": dict(subject)}))


def needs_signature(gate: Gate) -> bool:
    """True if decisions on a gate are SSH signatures: then its subject names the allowed signers."""
    return AllowedSigners.kind in gate.subject


def statement(
    gate: Gate,
    verdict: Verdict,
    *,
    note: str,
    override: bool,
    principal: str,
    for_stage: bool = False,
    tests: Sequence[str] = (),
) -> DecisionStatement:
    """The canonical decision on a gate."""
    return DecisionStatement(
        run=gate.run_id,
        gate=gate.id,
        name=gate.gate,
        round=gate.number,
        nonce=gate.nonce,
        subject=gate.subject,
        policy=gate.subject.get("policy", ""),
        verdict=verdict,
        override=override,
        note=note,
        principal=principal,
        for_stage=for_stage,
        tests=tuple(tests),
    )


def statement_of(gate: Gate, decision: Decision) -> DecisionStatement:
    """The canonical decision that a row of the ledger stands for."""
    return statement(
        gate,
        decision.verdict,
        note=decision.note,
        override=decision.override,
        principal=decision.approver,
        for_stage=decision.for_stage,
        tests=decision.tests,
    )


def require_open(gate: Gate, now: datetime) -> None:
    """Stop unless a gate takes decisions.

    Raises:
        NotAllowed: It is closed, or its time is over.
    """
    if gate.status != "open":
        raise NotAllowed(f"gate {gate.gate} is {gate.status}, not open", remedy="See `phasegate show`.")
    if gate.expires_at <= now:
        raise NotAllowed(
            f"gate {gate.gate} expired on {gate.expires_at:%Y-%m-%d %H:%M} UTC",
            remedy="`phasegate up` lets the engine open it anew.",
        )


def require_authorized(gate: Gate, decision: Decision, rules: GateRules) -> None:
    """Stop unless policy lets this person decide so.

    Args:
        gate: The gate.
        decision: What the person decided.
        rules: Rules of the gate, by the run's policy.

    Raises:
        NotAllowed: It does not.
    """
    name = decision.approver
    if decision.verdict == "revise" and gate.gate == _RAISED:
        raise NotAllowed(
            f"there is nothing to send back at gate {gate.gate}", remedy="Approve it to grant more, or reject it."
        )
    if decision.for_stage and (gate.gate, decision.verdict) != (_PERMITTED, "approve"):
        raise NotAllowed(f"only an approval of gate {_PERMITTED} can hold for the rest of a stage")
    if decision.tests:
        _require_may_name_tests(gate, decision, rules.admins)
    if decision.override:
        if name not in rules.admins:
            admins = ", ".join(rules.admins) or "nobody"
            raise NotAllowed(
                f"{name} may not override gate {gate.gate}: that takes role admin, which policy gives to {admins}"
            )
        if decision.verdict != "approve" or not decision.note.strip():
            raise NotAllowed(
                f"an override of gate {gate.gate} needs a note with the reason", remedy='Add `--note "the reason"`.'
            )
        return
    if decision.standing and name != rules.requester:
        raise NotAllowed(f"only the requester approves gate {gate.gate} in advance, and {name} is not")
    if rules.exclude_requester and name == rules.requester:
        raise NotAllowed(f"{name} asked for this run, and policy excludes the requester from gate {gate.gate}")
    if rules.people is not None and name not in rules.people:
        files = ", ".join(rules.authority_files)
        because = f"the change decides who decides ({files}), and " if files else ""
        raise NotAllowed(f"{name} may not decide gate {gate.gate}: {because}it needs one of {', '.join(rules.people)}")


def require_accepted(decision: Decision, accepting: Sequence[str]) -> None:
    """Refuse an approval that leaves a regression unsaid.

    Raises:
        NotAllowed: It does.
    """
    missing = [test for test in accepting if test not in decision.tests]
    if decision.verdict == "approve" and missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotAllowed(f"the grade failed, and the approval does not accept {missing[0]}{more} by name")


def _require_may_name_tests(gate: Gate, decision: Decision, admins: Sequence[str]) -> None:
    """Refuse tests named at another gate, and regressions accepted by anyone but an admin who says why.

    Raises:
        NotAllowed: It is refused.
    """
    if gate.gate != _CHANGED or decision.verdict == "reject":
        raise NotAllowed(f"tests are accepted or struck at gate {_CHANGED} alone")
    if KEEP_TESTS in decision.tests and not decision.keeps_tests:
        raise NotAllowed("only an approval can keep the tests that were written for the run")
    if (
        decision.verdict == "approve"
        and decision.named
        and (decision.approver not in admins or not decision.note.strip())
    ):
        raise NotAllowed(
            f"{decision.approver} may not accept a regression: that takes role admin and a note that says why",
            remedy="Have somebody under [roles] admin say so, with --note. A role added to phasegate.toml since "
            "the run began counts for new runs.",
        )
