"""Replay of a run: a new run that adopts the stages that still hold, or that rehearses the earlier one's record.

Called by the doors. All errors are found before anything is written. `lifecycle/replay` decides later, stage by
stage, which attempts are adopted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from phasegate.agents.models.keys import credentials
from phasegate.agents.models.names import ModelName
from phasegate.flows.runs.base_policy import read_policy
from phasegate.flows.runs.inputs import StoredPolicy, StoredScript
from phasegate.flows.runs.kickoff import RunSpec, accept, disabled_guards, read_signers, unpriced_models
from phasegate.infra.errors import ConfigError, FormatUnknown, NotAllowed, RepositoryError, UsageError
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.identity import COMMAND_NAMESPACE, AllowedSigners, Person, sign, signing_key
from phasegate.infra.ledger import STOPPED, Attempt, Ledger, Origin, Run, RunOptions, new_id
from phasegate.infra.ledger.gates.commands import replay_command
from phasegate.infra.policy.model import Policy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.settings import Settings
from phasegate.infra.tickets.ticket import Ticket
from phasegate.infra.workspace import BaseCommit, Repository, find_merge

_PARTS: Mapping[str, tuple[str, ...]] = {
    "testing": ("grading",),
    "deployment": ("plan", "release"),
    "monitoring": ("measuring",),
}
"""The parts without which a stage has not finished; a stage that is not named here has one, without a name."""


@dataclass(frozen=True)
class ReplayRequest:
    """A person's request to replay or rehearse an earlier run.

    Attributes:
        run: The earlier run.
        stage: The first stage to do again; empty for the first one that did not finish, else the last.
        model: `provider:model` for the stages done again; empty for that of the earlier run.
        repo_policy: Go by the policy that the base branch has now, instead of the earlier run's.
        rehearse: Only check if the earlier run would be the same today.
        repository: The repository's present folder; None if it has not moved.
        key: The key to sign with, where commands are signed; None for git's `user.signingKey` or the SSH agent's.
    """

    run: Run
    stage: str = ""
    model: str = ""
    repo_policy: bool = False
    rehearse: bool = False
    repository: Path | None = None
    key: Path | None = None


def replay(
    request: ReplayRequest, *, ledger: Ledger, settings: Settings, person: Person, environment: Mapping[str, str]
) -> Run:
    """Check a request and accept it as a new run.

    Returns:
        The new run, durable. `origin` names the earlier one.

    Raises:
        ConfigError: Something does not hold; nothing was written.
        FormatUnknown: The earlier run's ticket or policy cannot be read any more.
    """
    old = request.run
    _require_stopped(request)
    repository = _repository(request)
    ticket, (stored, signers) = ledger.artifacts.get(old.ticket, Ticket), _policy(request, ledger, repository)
    stages = stored.policy.lifecycle.stages
    first_unfinished = next((stage for stage in stages if not _has_finished(ledger, old, stage)), stages[-1])
    stage: str = stages[0]
    if not request.rehearse:
        stage = request.stage or first_unfinished
        _require_reached(old, stage, tuple(stages), first_unfinished)
        _require_no_conflict(ledger, repository, old, stage, tuple(stages))
        _require_models(request, stored.policy, stage, environment)
    open_sandbox(stored.policy.sandbox, settings.home)
    script = ledger.artifacts.get(old.options.rehearsal, StoredScript) if old.options.rehearsal else None
    unpriced = [] if script else unpriced_models(stored.policy, request.model or old.options.model)
    spec = RunSpec(
        title=old.title,
        ticket=ticket,
        policy=stored,
        base=BaseCommit(old.base_branch, old.base_commit),
        options=RunOptions(
            model=request.model or old.options.model,
            rehearsal=old.options.rehearsal,
            notices=(*disabled_guards(stored.policy), *unpriced),
        ),
        signers=signers,
        script=script,
        origin=Origin(run=old.id, stage=stage, mode="rehearse" if request.rehearse else "replay"),
    )
    run_id = new_id("run")
    giver, signature = _command(request, spec, run_id, ledger=ledger, repository=repository, person=person)
    return accept(
        spec,
        ledger=ledger,
        repository=repository,
        person=giver,
        run_id=run_id,
        key_file=request.key,
        signature=signature,
    )


def _command(
    request: ReplayRequest, spec: RunSpec, run_id: str, *, ledger: Ledger, repository: Repository, person: Person
) -> tuple[Person, str]:
    """The person who gives the command, and their signature where the earlier run's policy has commands signed.

    Raises:
        NotAllowed: The earlier run's policy does not let them replay it; the refusal is on record there.
    """
    assert spec.origin is not None  # noqa: S101  a replay has one
    command = replay_command(run_id, spec.origin, person.name)
    signers = ledger.commands.signers(request.run.id)
    if signers is None:
        ledger.commands.require_allowed(command)
        return person, ""
    try:
        key = signing_key(signers, file=request.key, folder=repository.top)
        principal = signers.require(key.public)
    except NotAllowed as error:
        ledger.commands.refuse(command, error.message, actor=person.name)
        raise
    content = ledger.commands.statement(replace(command, actor=principal)).content()
    signature = sign(content, key, namespace=COMMAND_NAMESPACE)
    ledger.commands.require_allowed(replace(command, actor=principal, signature=signature))
    return Person(principal, "ssh"), signature


def _require_stopped(request: ReplayRequest) -> None:
    old, still = request.run, {"waiting", "paused"} if request.rehearse else set[str]()
    if request.rehearse and (request.stage or request.model or request.repo_policy):
        raise UsageError(
            "a rehearsal repeats the whole run as it was", remedy="Leave out --from, --model and --repo-policy."
        )
    if old.rehearsed_run:
        raise UsageError(
            f"run {old.id} is a rehearsal: there is nothing of its own to go back to",
            remedy=f"Go back to the run it rehearses: `phasegate replay {old.rehearsed_run}`.",
        )
    if old.status not in STOPPED | still:
        raise NotAllowed(
            f"run {old.id} is {old.status}: only a run that has stopped is replayed",
            remedy=f"See what it waits for with `phasegate show {old.id}`, or end it with `phasegate cancel {old.id}`.",
        )


def _repository(request: ReplayRequest) -> Repository:
    """Repository that holds the earlier run's commits now."""
    old, where = request.run, request.repository or Path(request.run.repository)
    try:
        repository = Repository.open(where)
    except RepositoryError as error:
        if request.repository is not None:
            raise
        raise RepositoryError(
            f"run {old.id} is about a repository that is not where it was: {error.message}",
            remedy="Say where it is now: --repo FOLDER.",
        ) from error
    if repository.git.resolve(f"{old.base_commit}^{{commit}}") is None:
        raise RepositoryError(
            f"{repository.top} does not have commit {old.base_commit[:12]}, which run {old.id} started from",
            remedy="Name the repository it was about with --repo, or fetch that commit.",
        )
    return repository


def _policy(
    request: ReplayRequest, ledger: Ledger, repository: Repository
) -> tuple[StoredPolicy, AllowedSigners | None]:
    """Policy of the new run, and the signers of its decisions."""
    if request.repo_policy:
        base, policy, _ = read_policy(repository)
        now = read_signers(repository, base, policy)
        return StoredPolicy(policy=policy, allowed_signers=now.digest if now else ""), now
    try:
        stored = ledger.artifacts.get(request.run.policy, StoredPolicy)
    except FormatUnknown as error:
        raise FormatUnknown(
            f"the policy of run {request.run.id} is stored in a format this phasegate does not know",
            remedy=f"Go by the repository's policy of today: `phasegate replay {request.run.id} --repo-policy`.",
        ) from error
    signers = ledger.artifacts.get(stored.allowed_signers, AllowedSigners) if stored.allowed_signers else None
    return stored, signers


def _has_finished(ledger: Ledger, run: Run, stage: str) -> bool:
    attempts = [
        attempt for attempt in ledger.attempts.list(run.id) if attempt.stage == stage and not attempt.superseded
    ]
    last = {attempt.part: attempt for attempt in sorted(attempts, key=lambda attempt: attempt.number)}
    parts = _PARTS.get(stage, ("",))
    if not all(part in last and last[part].status == "finished" for part in parts):
        return False
    return stage != "testing" or _may_be_released(ledger, last["grading"])


def _may_be_released(ledger: Ledger, grading: Attempt) -> bool:
    """True if gate `change` can pass on this grade. If it cannot, stage `testing` counts as not finished."""
    try:
        evidence = ledger.artifacts.get(grading.artifact or "", Evidence)
        return evidence.verdict != "failed" or evidence.is_acceptable
    except FormatUnknown:
        return False


def _require_reached(old: Run, stage: str, stages: tuple[str, ...], first_unfinished: str) -> None:
    if stage not in stages:
        raise UsageError(
            f"run {old.id} has no stage {stage}", remedy=f"Its stages are {', '.join(stages)}.", stage=stage
        )
    if stages.index(stage) > stages.index(first_unfinished):
        raise UsageError(
            f"run {old.id} never finished stage {first_unfinished}, so there is nothing to start {stage} from",
            remedy=f"Start earlier: `phasegate replay {old.id} --from {first_unfinished}`.",
        )


def _require_no_conflict(ledger: Ledger, repository: Repository, old: Run, stage: str, stages: tuple[str, ...]) -> None:
    """Refuse if the earlier run's effects are in the new run's way, or are gone although it builds on them."""
    again = {"prd", "implementation", "testing"} & set(stages)
    for effect in ledger.effects.list(old.id):
        if effect.superseded:
            continue
        may_be_in = effect.kind == "merge" and stage in again and effect.status != "undone"
        if may_be_in and find_merge(repository, old.base_branch, effect.key) is not None:
            raise ConfigError(
                f"what run {old.id} merged is still in {old.base_branch}: a new change would be merged on top of it",
                remedy=f"Take it out first: `phasegate rollback {old.id}`, then replay.",
                effect=effect.key,
            )
        if effect.kind == "cut-over" and stage == "monitoring" and effect.status != "done":
            raise ConfigError(
                f"the release of run {old.id} does not serve any more: there is nothing to monitor",
                remedy=f"Release it again: `phasegate replay {old.id} --from deployment`.",
                effect=effect.key,
            )


def _require_models(request: ReplayRequest, policy: Policy, stage: str, environment: Mapping[str, str]) -> None:
    stages = policy.lifecycle.stages
    for again in stages[list(stages).index(stage) :] if stage in stages else ():
        for model in policy.agents.models_for(again, request.model or request.run.options.model):
            name = ModelName.parse(model)
            if not request.run.options.rehearsal:
                credentials(name, environment)
