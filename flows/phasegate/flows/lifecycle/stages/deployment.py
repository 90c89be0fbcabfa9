"""Stage `deployment`: an agent drafts the plan, a person approves it, code carries it out."""

from __future__ import annotations

from phasegate.agents import deployment
from phasegate.agents.deployment import ReleasePlan, ReleasePlanDraft
from phasegate.agents.deployment import migrations as stored_data
from phasegate.agents.models.conversation import JsonObject
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.saga import perform
from phasegate.flows.lifecycle.gates.gates import Round
from phasegate.flows.lifecycle.intent import Intent
from phasegate.flows.lifecycle.rollout import migrations
from phasegate.flows.lifecycle.rollout.baseline import Baseline
from phasegate.flows.lifecycle.rollout.service_levels import levels_of
from phasegate.flows.lifecycle.rollout.steps import CandidateBaseline, run_steps
from phasegate.flows.lifecycle.signals import SubjectStale
from phasegate.flows.lifecycle.stages.run_agent import propose
from phasegate.infra.deploy.target import Candidate, Preview, Release, TargetState
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.ledger import Attempt
from phasegate.infra.workspace import ChangeSet


async def draft_release_plan(
    run: RunContext, round_: Round, change: ChangeSet, evidence: Evidence, commit: str
) -> tuple[ReleasePlan, Baseline]:
    """Draft the release plan from the evidence and from the target's current state.

    Returns:
        The plan and its baseline: once another release is current, the plan no longer holds.

    Effects:
        One attempt per round. The target is observed once per round, so that a plan is not drafted again once its own
        release is current.
    """
    number, start = run.numbers.next("deployment", "plan"), run.policy.deploy.start
    levels = levels_of(run)
    migrating, commands = migrations.files_of(run, change), migrations.commands_of(run)

    async def look() -> JsonObject:
        return (await run.world.target.status()).model_dump(mode="json")

    async def foresee() -> JsonObject:
        return (await run.world.target.preview(commit)).model_dump(mode="json")

    state = TargetState.model_validate(await run.source.observe("deployment", f"target/{number}", look))
    preview = Preview.model_validate(await run.source.observe("deployment", f"preview/{number}", foresee))

    def accept(draft: ReleasePlanDraft) -> ReleasePlan:
        return ReleasePlan.model_validate(
            {
                **draft.model_dump(by_alias=True),
                "commit": commit,
                "target": run.policy.deploy.target,
                "service": run.world.service,
                "start": start,
                "replaces": state.current.release_id if state.current else "",
                "changes": preview.changes,
                "taking": preview.taking,
                "measured": levels.lines,
                "unmeasured": levels.unmeasured,
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
            migrations=stored_data.plan_text(migrating, commands),
            note=round_.note,
        ),
        folder=await run.world.checkout(commit),
        inputs={"change": change.digest, "evidence": evidence.digest},
        part="plan",
        validate_draft=lambda draft: stored_data.validate_migrations(migrating, draft.migrations, draft.no_migrations),
    )
    return plan, Baseline.of(state)


async def deploy(run: RunContext, plan: ReleasePlan, baseline: Baseline) -> Release:
    """Carry out an approved plan: the candidate, the policy's steps, then the cut-over, migrations around them.

    Raises:
        SubjectStale: Another release is current than the approved baseline; nothing has been done yet.
        Breached, Rejected, Rewound: As `run_steps`.
        DeployFailed: The release did not come up; the previous one is current.
        TargetRefused: The target needs something a person has to give; the previous release is current.
        MigrationFailed: A migration was not made; the previous release is current.

    Effects:
        `expand` for each such migration, `candidate`, the steps' effects, `migrate` for each such, and `cut-over`. The
        performer of each undoes it; once a pivot is made, none is undone.
    """
    if not run.policy.gates.release.off and (why := await baseline.violation(run)):
        raise SubjectStale(why)
    steps = run.policy.deploy.steps
    number, previous = run.numbers.next("deployment", "candidate" if steps else "release"), await baseline.previous(run)
    release_id = run.id if number == 1 else f"{run.id}-{number}"  # a discarded release keeps its id
    facts = {"release_id": release_id, "commit": plan.commit, "previous": previous}

    async def started() -> Candidate:
        await migrations.make_migrations(run, plan, release_id, "expand")
        run.report_step("deployment", f"starting release {release_id} beside the current one")
        taking = {"taking": list(plan.taking)} if plan.taking else {}
        intent = Intent("candidate", "candidate", {**facts, **taking}, f"stop the candidate {release_id}")
        return Candidate.model_validate(await perform(run, intent))

    async def released(_row: Attempt) -> Release:
        await started()
        await migrations.make_migrations(run, plan, release_id, "migrate")
        run.report_step("deployment", "cutting over")
        undoing = f"let release {previous} serve again" if previous else "stop the service"
        result = await perform(run, Intent("cut-over", "cut-over", facts, undoing))
        return Release.model_validate(result)

    inputs = {"plan": plan.digest}
    if steps:
        serving = CandidateBaseline(await Baseline.seen(run, "deployment", f"beside/{number}"))

        async def started_alone(_row: Attempt) -> Candidate:
            return await started()

        candidate = await attempt(run, "deployment", number, Candidate, started_alone, part="candidate", inputs=inputs)
        await run_steps(run, plan, candidate, serving, number)
        inputs, number = {**inputs, "candidate": candidate.digest}, run.numbers.next("deployment", "release")
    return await attempt(run, "deployment", number, Release, released, part="release", inputs=inputs)


def _in_words(state: TargetState) -> str:
    if state.current is None:
        return f"Nothing runs yet of service {state.service} on target {state.target}."
    alive = "running" if state.current.alive else "not running"
    return f"Release {state.current.release_id} of {state.service} (commit {state.current.commit[:12]}) is {alive}."
