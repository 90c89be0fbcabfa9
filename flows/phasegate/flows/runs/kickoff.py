"""Kick-off: checks everything before anything is written, then makes the run durable (P1).

Called by the doors. The engine finds the accepted run in the ledger; nothing here speaks to Prefect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from phasegate.agents.models.conversation import TokenUsage
from phasegate.agents.models.keys import credentials
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.prices import cost_usd
from phasegate.agents.rehearsal.script_file import load_script
from phasegate.flows.runs.audit_bundle import publish_run_head
from phasegate.flows.runs.base_policy import read_policy
from phasegate.flows.runs.inputs import StoredPolicy, StoredScript
from phasegate.flows.runs.requester import proven_requester
from phasegate.infra.deploy.open import open_target
from phasegate.infra.errors import FormatUnknown, NotAllowed, PolicyError, TargetRefused, UsageError
from phasegate.infra.identity import AllowedSigners, Person
from phasegate.infra.ledger import Ledger, Origin, Run, RunOptions, new_id
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.policy.gates import GATES, INTERRUPT_GATES, is_gate
from phasegate.infra.policy.model import POLICY_FILE, Policy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings
from phasegate.infra.tickets.read import read_ticket
from phasegate.infra.tickets.ticket import Ticket
from phasegate.infra.workspace import BaseCommit, Repository

DEFINITION = "1"
"""The version of the pipeline's definition; raised when a waiting run could no longer continue as it began (P8)."""


@dataclass(frozen=True)
class KickoffRequest:
    """A person's request for a run.

    Attributes:
        ticket: A file, `-` for standard input, or an issue's address.
        repository: A folder of the repository.
        model: `provider:model` for every stage, over the policy's; empty for the policy's.
        rehearsal: A rehearsal script instead of models.
        approve: Gates the requester approves in advance.
        key: The key to sign the request with, where policy must know who asks; None for git's `user.signingKey`.
    """

    ticket: str
    repository: Path
    model: str = ""
    rehearsal: Path | None = None
    approve: tuple[str, ...] = ()
    key: Path | None = None


def kick_off(
    request: KickoffRequest,
    *,
    ledger: Ledger,
    settings: Settings,
    person: Person,
    environment: Mapping[str, str],
    stdin: Callable[[], bytes],
) -> Run:
    """Check a request and accept it as a run.

    Returns:
        The run, durable. `options.notices` are lines the requester should read.

    Raises:
        ConfigError: Something does not hold; nothing was written.
    """
    ticket, kept_out = _without_secrets(read_ticket(request.ticket, stdin=stdin, environment=environment), environment)
    repository = Repository.open(request.repository)
    base, policy, notices = read_policy(repository)
    notices += kept_out
    script = load_script(request.rehearsal) if request.rehearsal is not None else None
    _check_models(request, policy, environment, rehearsed=script is not None)
    _check_roles(request, policy, person)
    signers = read_signers(repository, base, policy)
    open_sandbox(policy.sandbox, settings.home)
    if "deployment" in policy.lifecycle.stages:
        _check_deployment(policy.deploy, settings, repository, base)
    if repository.is_dirty(besides=None if request.ticket == "-" else Path(request.ticket)):
        notices.append(
            f"Uncommitted changes in {repository.top} are left untouched and are not part of the run, which starts "
            f"from commit {base.commit[:12]} of {repository.branch_with(base.branch, base.commit)}."
        )
    notices += disabled_guards(policy)
    notices += unpriced_models(policy, request.model) if script is None else []
    stored_script = StoredScript(script=script) if script is not None else None
    spec = RunSpec(
        title=ticket.title,
        ticket=ticket,
        policy=StoredPolicy(policy=policy, allowed_signers=signers.digest if signers else ""),
        base=base,
        options=RunOptions(
            model=request.model,
            rehearsal=stored_script.digest if stored_script else "",
            approve=request.approve,
            notices=tuple(notices),
        ),
        signers=signers,
        script=stored_script,
    )
    return accept(spec, ledger=ledger, repository=repository, person=person, key_file=request.key)


def _without_secrets(ticket: Ticket, environment: Mapping[str, str]) -> tuple[Ticket, list[str]]:
    """Mask the secrets of a ticket, and describe in a line what was masked."""
    masked, leaks = Secrets.of(environment).mask_all(ticket.model_dump(mode="json"))
    if not leaks:
        return ticket, []
    secrets = ", ".join(f"{leak.kind} ({leak.digest})" for leak in leaks)
    return Ticket.model_validate(masked), [f"The ticket held what looks like a secret, which is masked: {secrets}."]


@dataclass(frozen=True)
class RunSpec:
    """Specification of a run whose request was checked.

    Attributes:
        title: One line for lists.
        ticket: The ticket.
        policy: The run's policy.
        base: The commit it starts from.
        options: The requester's options.
        signers: The people whose signatures count; None with identity `local`.
        script: The script that it is rehearsed from, if it is.
        origin: The run it goes back to, if it does.
    """

    title: str
    ticket: Ticket
    policy: StoredPolicy
    base: BaseCommit
    options: RunOptions
    signers: AllowedSigners | None = None
    script: StoredScript | None = None
    origin: Origin | None = None


def accept(
    spec: RunSpec,
    *,
    ledger: Ledger,
    repository: Repository,
    person: Person,
    run_id: str = "",
    key_file: Path | None = None,
    signature: str = "",
) -> Run:
    """Make a run durable, with proof of the requester's identity if policy needs it.

    Args:
        spec: The run.
        ledger: The ledger.
        repository: The repository.
        person: The requester.
        run_id: The run's id; empty: a fresh one.
        key_file: The key that the requester named, if they did.
        signature: Over the command `replay`, where the run is a replay and commands are signed.

    Raises:
        NotAllowed: Proof is needed, and there is no key of theirs that is allowed; nothing was written.
    """
    run_id, base, stored = run_id or new_id("run"), spec.base, spec.policy
    facts = {"run": run_id, "base": base.commit, "ticket": spec.ticket.digest, "policy": stored.digest}
    requester, proof = proven_requester(
        stored.policy, spec.signers, person, facts=facts, folder=repository.top, key_file=key_file
    )
    run = ledger.runs.accept(
        run_id,
        title=spec.title,
        ticket=spec.ticket,
        policy=stored,
        repository=str(repository.top),
        base_branch=base.branch,
        base_commit=base.commit,
        requester=requester,
        options=spec.options,
        definition=DEFINITION,
        origin=spec.origin,
        signature=signature,
        also=[artifact for artifact in (spec.script, spec.signers, proof) if artifact is not None],
    )
    publish_run_head(ledger, run, lambda: repository)
    return run


def _check_models(request: KickoffRequest, policy: Policy, environment: Mapping[str, str], *, rehearsed: bool) -> None:
    for stage in policy.lifecycle.stages:
        for model in policy.agents.models_for(stage, request.model):
            name = ModelName.parse(model)
            if not rehearsed:
                credentials(name, environment)


def _check_deployment(deploy: DeployPolicy, settings: Settings, repository: Repository, base: BaseCommit) -> None:
    """Find obstacles of the release now: a taken port, a missing program, unusable manifests."""
    target = open_target(deploy, repository.top, settings, os.environ)
    try:
        target.preflight(base.commit)
    except TargetRefused as error:
        raise PolicyError(error.message, remedy=error.remedy) from error


def _check_roles(request: KickoffRequest, policy: Policy, person: Person) -> None:
    for name in GATES if policy.identity.mode == "local" else ():
        rules = policy.gates.named(name)
        others = {other for role in rules.roles for other in policy.roles[role]} - {person.name}
        if rules.roles and rules.exclude_requester and not rules.off and len(others) < rules.quorum:
            raise NotAllowed(
                f"gate {name} could never pass: {person.name} asks for the run and may not decide, and of its roles "
                f"{len(others)} remain for a quorum of {rules.quorum}",
                remedy=f"Have somebody else start the run, or name more people in [roles] of {POLICY_FILE}.",
            )
    if request.approve and policy.identity.mode == "ssh":
        raise NotAllowed(
            "no gate can be approved in advance: this repository's decisions are signed, each for what it is about",
            remedy="Leave out --approve.",
        )
    for gate in request.approve:
        if not is_gate(gate):
            raise UsageError(f"there is no gate {gate}", remedy=f"Gates are {', '.join(GATES)}.")
        if gate in INTERRUPT_GATES:
            raise UsageError(f"gate {gate} cannot be approved in advance", remedy=f"Leave out --approve {gate}.")
        gate_policy = policy.gates.named(gate)
        people = {name for role in gate_policy.roles for name in policy.roles[role]}
        if gate_policy.exclude_requester:
            raise NotAllowed(f"policy excludes the requester from gate {gate}", remedy=f"Leave out --approve {gate}.")
        if gate_policy.roles and person.name not in people:
            raise NotAllowed(f"{person.name} may not decide gate {gate}", remedy=f"Leave out --approve {gate}.")


def read_signers(repository: Repository, base: BaseCommit, policy: Policy) -> AllowedSigners | None:
    """Signers at the base commit, or None if decisions are not signed."""
    if policy.identity.mode != "ssh":
        return None
    path = policy.identity.allowed_signers
    content = repository.read_file(base.commit, path)
    if content is None:
        raise PolicyError(
            f"identity.mode is ssh, but there is no {path} at commit {base.commit[:12]}",
            remedy=f"Commit {path} with a line `ana@example.org ssh-ed25519 AAAA…` for each person.",
        )
    return AllowedSigners.from_file(content, source=f"{path} at commit {base.commit[:12]}")


def disabled_guards(policy: Policy) -> list[str]:
    """Lines that name each guard a policy does without."""
    off = [f"Gate {gate} is off: {policy.gates.named(gate).reason}" for gate in GATES if policy.gates.named(gate).off]
    if policy.sandbox.backend == "none":
        off.append("The sandbox is off: commands of agents and tests run with your rights.")
    return off


def unpriced_models(policy: Policy, model: str) -> list[str]:
    """Name the models without a price in a line, because no budget of money can hold their calls.

    Args:
        policy: The run's policy.
        model: The requester's choice for every stage; empty for the policy's.
    """
    names = dict.fromkeys(name for stage in policy.lifecycle.stages for name in policy.agents.models_for(stage, model))
    unknown = [name for name in names if cost_usd(name, TokenUsage()) is None]
    if not unknown:
        return []
    return [f"The price of {', '.join(unknown)} is not known: what it costs is not counted; budgets of tokens hold."]


def require_same_definition(run: Run) -> None:
    """Stop a run that another version of the pipeline began (P8).

    Raises:
        FormatUnknown: The definition has changed since.
    """
    if run.definition != DEFINITION:
        raise FormatUnknown(
            f"run {run.id} was begun by definition {run.definition} of the pipeline, this phasegate has {DEFINITION}",
            remedy=f"`phasegate replay {run.id}` goes on in a new run, which adopts all that is still understood.",
        )
