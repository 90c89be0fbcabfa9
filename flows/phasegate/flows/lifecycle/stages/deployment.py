"""Stage `deployment`: an agent drafts the plan, a person approves it, code carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phasegate.agents import deployment
from phasegate.agents.deployment import ReleasePlan, ReleasePlanDraft
from phasegate.agents.deployment import migrations as stored_data
from phasegate.agents.models.conversation import JsonObject
from phasegate.flows.lifecycle.adoption import comes_before, observe
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.endings import Outdated
from phasegate.flows.lifecycle.gates import Round
from phasegate.flows.lifecycle.saga import Intent, perform
from phasegate.flows.lifecycle.stages import migrations
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.deploy.target import Preview, Release, TargetState
from phasegate.infra.grading import Evidence
from phasegate.infra.ledger import Attempt, Effect
from phasegate.infra.workspace import ChangeSet


@dataclass(frozen=True)
class Replaced:
    """The release that a plan replaces: what of the target a decision on the plan is bound to.

    Attributes:
        target: The target.
        service: The service.
        release_id: The release that served when the plan was drafted; None: none did.
        commit: Its commit; empty: there was none.
        revision: Another once somebody else has changed it in its place; empty where the target cannot tell.
    """

    kind: ClassVar[str] = "target"
    target: str
    service: str
    release_id: str | None
    commit: str
    revision: str = ""

    @classmethod
    def of(cls, state: TargetState) -> Replaced:
        """What serves, whether or not it is alive at this moment."""
        current = state.current
        release_id, commit = (current.release_id, current.commit) if current else (None, "")
        return cls(state.target, state.service, release_id, commit, state.revision)

    @property
    def digest(self) -> str:
        """Of all of it; what is not known is left out, as earlier versions did."""
        return sha256(
            canonical_json({name: value for name, value in vars(self).items() if name != "revision" or value})
        )

    async def outdated(self, run: RunContext) -> str:
        """As `Premise.outdated`: what serves now, if it is something else and nothing of the plan was carried out."""
        if run.rehearses or _begun(run) is not None or _is_adopted(run):
            return ""
        now = Replaced.of(await run.target.status())
        if now.digest == self.digest:
            return ""
        if (now.release_id, now.commit) == (self.release_id, self.commit):
            return (
                f"Somebody else has changed what release {now.release_id} set up since the plan was drafted. "
                "It has to be drafted for what is there now."
            )
        return (
            f"What serves has changed since the plan was drafted: now it is {now.release_id or 'nothing'}"
            f"{f' (commit {now.commit[:12]})' if now.commit else ''}, and the plan replaces "
            f"{self.release_id or 'nothing'}. It has to be drafted for what serves now."
        )

    async def previous(self, run: RunContext) -> str | None:
        """The release to go back to: what served when this run began to deploy."""
        if (effect := _begun(run)) is not None:
            found: str | None = effect.intent["previous"]
            return found
        return self.release_id if run.rehearses else Replaced.of(await run.target.status()).release_id


def _begun(run: RunContext) -> Effect | None:
    """The run's own candidate, from the moment it was intended: nobody else's release is taken for a change then."""
    made = run.shared.ledger.effects.list(run.run.id)
    return next((effect for effect in made if effect.kind == "candidate" and not effect.superseded), None)


def _is_adopted(run: RunContext) -> bool:
    """Whether the deployment was the earlier run's, and is taken over."""
    return run.run.origin is not None and comes_before(run.policy, "deployment", run.run.origin.stage)


async def draft_release_plan(
    run: RunContext, round_: Round, change: ChangeSet, evidence: Evidence, commit: str
) -> tuple[ReleasePlan, Replaced]:
    """Draft the release plan from the evidence and from what runs now.

    Returns:
        The plan, and what it replaces: once something else serves, it is a plan for another world.

    Effects:
        One attempt per round. What runs now is looked at once per round: a plan that is drafted already is not drafted
        again because its own release serves meanwhile.
    """
    number, start = run.next_number("deployment", "plan"), run.policy.deploy.start
    migrating, commands = migrations.files_of(run, change), migrations.commands_of(run)

    async def look() -> JsonObject:
        return (await run.target.status()).model_dump(mode="json")

    async def foresee() -> JsonObject:
        return (await run.target.preview(commit)).model_dump(mode="json")

    state = TargetState.model_validate(await observe(run, "deployment", f"target/{number}", look))
    preview = Preview.model_validate(await observe(run, "deployment", f"preview/{number}", foresee))

    def accept(draft: ReleasePlanDraft) -> ReleasePlan:
        return ReleasePlan.model_validate(
            {
                **draft.model_dump(by_alias=True),
                "commit": commit,
                "target": run.policy.deploy.target,
                "service": run.service,
                "start": start,
                "replaces": state.current.release_id if state.current else "",
                "changes": preview.changes,
                "taking": preview.taking,
                "migration_files": migrating,
                "migration_commands": commands if draft.migrations else {},
                "migration_signs": migrations.signs_in(run, draft, commit),
            }
        )

    plan = await propose(
        run,
        deployment.AGENT,
        number,
        ReleasePlan,
        accept,
        brief=deployment.brief(
            change,
            evidence,
            target_state=_in_words(state),
            start=start,
            changes=preview.changes,
            migrations=stored_data.told(migrating, commands),
            note=round_.note,
        ),
        folder=await run.checkout(commit),
        inputs={"change": change.digest, "evidence": evidence.digest},
        part="plan",
        objection=lambda draft: stored_data.objection(migrating, draft.migrations, draft.no_migrations),
    )
    return plan, Replaced.of(state)


async def deploy(run: RunContext, plan: ReleasePlan, replaced: Replaced) -> Release:
    """Carry out an approved plan: the candidate beside the current release, then the cut-over, migrations around them.

    Raises:
        Outdated: Something else serves than what was approved to be replaced; nothing has been done yet.
        DeployFailed: The release did not come up; what served before serves.
        TargetRefused: The target needs something a person has to give; what served before serves.
        MigrationFailed: A migration was not made; what served before serves.

    Effects:
        `expand` for each such migration, `candidate`, `migrate` for each such, and `cut-over`; each undone by its
        performer, and none of them once one is made that cannot be.
    """
    if not run.policy.gates.release.off and (why := await replaced.outdated(run)):
        raise Outdated(why)
    number, previous = run.next_number("deployment", "release"), await replaced.previous(run)
    release_id = run.run.id if number == 1 else f"{run.run.id}-{number}"  # one that was taken back keeps its own
    facts = {"release_id": release_id, "commit": plan.commit, "previous": previous}

    async def released(_row: Attempt) -> Release:
        await migrations.make_migrations(run, plan, release_id, "expand")
        run.step("deployment", f"starting release {release_id} beside the current one")
        taking = {"taking": list(plan.taking)} if plan.taking else {}
        await perform(run, Intent("candidate", "candidate", {**facts, **taking}, f"stop the candidate {release_id}"))
        await migrations.make_migrations(run, plan, release_id, "migrate")
        run.step("deployment", "cutting over")
        undoing = f"let release {previous} serve again" if previous else "stop the service"
        made = await perform(run, Intent("cut-over", "cut-over", facts, undoing))
        return Release.model_validate(made)

    return await attempt(run, "deployment", number, Release, released, part="release", inputs={"plan": plan.digest})


def _in_words(state: TargetState) -> str:
    if state.current is None:
        return f"Nothing runs yet of service {state.service} on target {state.target}."
    alive = "running" if state.current.alive else "not running"
    return f"Release {state.current.release_id} of {state.service} (commit {state.current.commit[:12]}) is {alive}."
