"""Stage `deployment`: an agent drafts the plan, a person approves it, code carries it out."""

from __future__ import annotations

from phasegate.agents import deployment
from phasegate.agents.deployment import ReleasePlan, ReleasePlanDraft
from phasegate.agents.models.conversation import JsonObject
from phasegate.flows.lifecycle.adoption import observe
from phasegate.flows.lifecycle.attempts import attempt
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.gates import Round
from phasegate.flows.lifecycle.saga import Intent, perform
from phasegate.flows.lifecycle.stages.agent import propose
from phasegate.infra.deploy.target import Release, TargetState
from phasegate.infra.grading import Evidence
from phasegate.infra.ledger import Attempt
from phasegate.infra.workspace import ChangeSet


async def draft_release_plan(
    run: RunContext, round_: Round, change: ChangeSet, evidence: Evidence, commit: str
) -> ReleasePlan:
    """Draft the release plan from the evidence and from what runs now.

    Effects:
        One attempt per round. What runs now is looked at once per round: a plan that is drafted already is not drafted
        again because its own release serves meanwhile.
    """
    number, start = run.next_number("deployment", "plan"), run.policy.deploy.start

    async def look() -> JsonObject:
        return (await run.target.status()).model_dump(mode="json")

    state = TargetState.model_validate(await observe(run, "deployment", f"target/{number}", look))

    def accept(draft: ReleasePlanDraft) -> ReleasePlan:
        return ReleasePlan.model_validate(
            {
                **draft.model_dump(by_alias=True),
                "commit": commit,
                "target": run.policy.deploy.target,
                "service": run.service,
                "start": start,
                "replaces": state.current.release_id if state.current else "",
            }
        )

    return await propose(
        run,
        deployment.AGENT,
        number,
        ReleasePlan,
        accept,
        brief=deployment.brief(change, evidence, target_state=_in_words(state), start=start, note=round_.note),
        folder=await run.checkout(commit),
        inputs={"change": change.digest, "evidence": evidence.digest},
        part="plan",
    )


async def deploy(run: RunContext, plan: ReleasePlan) -> Release:
    """Carry out an approved plan: the candidate beside the current release, then the cut-over.

    Raises:
        DeployFailed: The release did not come up; what served before serves.

    Effects:
        `candidate` and `cut-over`, each undone by its performer.
    """
    number = run.next_number("deployment", "release")
    release_id = run.run.id if number == 1 else f"{run.run.id}-{number}"  # one that was taken back keeps its own
    facts = {"release_id": release_id, "commit": plan.commit, "previous": plan.replaces or None}

    async def released(_row: Attempt) -> Release:
        run.step("deployment", f"starting release {release_id} beside the current one")
        await perform(run, Intent("candidate", "candidate", facts, f"stop the candidate {release_id}"))
        run.step("deployment", "cutting over")
        undoing = f"let release {plan.replaces} serve again" if plan.replaces else "stop the service"
        made = await perform(run, Intent("cut-over", "cut-over", facts, undoing))
        return Release.model_validate(made)

    return await attempt(run, "deployment", number, Release, released, part="release", inputs={"plan": plan.digest})


def _in_words(state: TargetState) -> str:
    if state.current is None:
        return f"Nothing runs yet of service {state.service} on target {state.target}."
    alive = "running" if state.current.alive else "not running"
    return f"Release {state.current.release_id} of {state.service} (commit {state.current.commit[:12]}) is {alive}."
