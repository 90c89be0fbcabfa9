"""Policy of the commit that a run would start from. Read by the kick-off, and by `doctor` in the same way."""

from __future__ import annotations

from phasegate.infra.errors import PolicyError
from phasegate.infra.policy.detect.detect import detect
from phasegate.infra.policy.gates import GATES
from phasegate.infra.policy.load import load_policy
from phasegate.infra.policy.model import POLICY_FILE, Policy
from phasegate.infra.workspace import BaseCommit, Repository


def read_policy(repository: Repository) -> tuple[BaseCommit, Policy, list[str]]:
    """The base commit and the policy in it.

    The current branch's policy may name another base branch; then that branch's own policy counts. A repository that
    has never committed a policy is governed by the requester's working copy, which no agent can write. If that has
    none either, the findings of `phasegate init` apply, if they were declared and not guessed.
    """
    base = repository.base()
    policy, notices = _policy_at(repository, base)
    if policy.project.base_branch not in {"", base.branch}:
        base = repository.base(policy.project.base_branch)
        policy, notices = _policy_at(repository, base)
    _require_passable(policy)
    return base, policy, notices


def _require_passable(policy: Policy) -> None:
    """Stop if a gate wants more approvals than there are people who may give one.

    Runs that are stored keep such a policy: an admin may override their gate.

    Raises:
        PolicyError: It does.
    """
    for gate in GATES:
        rules = policy.gates.named(gate)
        people = {name for role in rules.roles for name in policy.roles[role]}
        if rules.roles and not rules.off and len(people) < rules.quorum:
            raise PolicyError(
                f"gate {gate} can never pass: [gates.{gate}] has quorum = {rules.quorum}, and its roles name "
                f"{len(people)}: {', '.join(sorted(people)) or 'nobody'}",
                remedy=f"Name more people in [roles], or lower the quorum, in {POLICY_FILE}.",
            )


def _policy_at(repository: Repository, base: BaseCommit) -> tuple[Policy, list[str]]:
    working = repository.top / POLICY_FILE
    copy = working.read_bytes() if working.is_file() else None
    committed = repository.read_file(base.commit, POLICY_FILE)
    if committed is not None:
        differs = f"{POLICY_FILE} in the working tree differs; the run follows the committed one."
        policy = load_policy(committed, source=f"{POLICY_FILE} at commit {base.commit[:12]}")
        return policy, [differs] if copy not in {None, committed} else []
    if copy is not None:
        uncommitted = f"{POLICY_FILE} is not committed on {base.branch} yet: a run follows your working copy."
        return load_policy(copy, source=POLICY_FILE), [uncommitted]
    if (detection := detect(repository.top)).declared:
        written = [line for line in detection.toml.splitlines() if line and not line.startswith("#")]
        goes_by = " ".join(written)
        unwritten = f"There is no {POLICY_FILE}: a run goes by what `phasegate init` would write: {goes_by}"
        return load_policy(detection.toml.encode(), source="what `phasegate init` finds"), [unwritten, *detection.notes]
    raise PolicyError(
        f"there is no {POLICY_FILE} in {repository.top}",
        remedy="Write one with `phasegate init`, look it over, and commit it.",
    )
