"""Baseline of a plan: the target's state that the plan was made for, and the run's own effects on it.

Asked by stage `deployment` and by the steps: a decision holds for the world it was made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from phasegate.agents.models.conversation import JsonObject
from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.deploy.target import TargetState
from phasegate.infra.ledger import Effect

_OF_A_RELEASE = frozenset({"candidate", "weight", "cut-over"})


@dataclass(frozen=True)
class Baseline:
    """Current release that a plan replaces; a decision on the plan is bound to it.

    Attributes:
        target: The target.
        service: The service.
        release_id: The release that was current when the plan was drafted; None if there was none.
        commit: Its commit; empty if there was none.
        revision: Changes when another party changes the release in place; empty if the target cannot tell.
    """

    kind: ClassVar[str] = "target"
    target: str
    service: str
    release_id: str | None
    commit: str
    revision: str = ""

    @classmethod
    def of(cls, state: TargetState) -> Baseline:
        """Baseline of a target's current release, alive or not."""
        current = state.current
        release_id, commit = (current.release_id, current.commit) if current else (None, "")
        return cls(state.target, state.service, release_id, commit, state.revision)

    @classmethod
    async def now(cls, run: RunContext) -> Baseline:
        """Baseline of the run's target at this moment, not recorded."""
        return cls.of(await run.world.target.status())

    @property
    def digest(self) -> str:
        """Digest of all fields; an unknown revision is left out, as in earlier versions."""
        return sha256(
            canonical_json({name: value for name, value in vars(self).items() if name != "revision" or value})
        )

    async def violation(self, run: RunContext) -> str:
        """As `Precondition.violation`, while nothing of the plan was carried out."""
        if begun(run) is not None or run.source.adopts("deployment"):
            return ""
        why = self.changed(await Baseline.now(run))
        return f"{why} The plan has to be drafted for what serves now." if why else ""

    def changed(self, now: Baseline) -> str:
        """Describe a different current release in a sentence, or return an empty text if it is the same."""
        if now.digest == self.digest:
            return ""
        if (now.release_id, now.commit) == (self.release_id, self.commit):
            return f"Somebody else has changed what release {now.release_id} set up."
        return (
            f"What serves has changed: now it is {now.release_id or 'nothing'}"
            f"{f' (commit {now.commit[:12]})' if now.commit else ''}, and it was {self.release_id or 'nothing'}."
        )

    @classmethod
    async def seen(cls, run: RunContext, stage: str, name: str) -> Baseline:
        """The baseline that a stage observed: recorded once, the same in later passes."""

        async def look() -> JsonObject:
            return (await run.world.target.status()).model_dump(mode="json")

        return cls.of(TargetState.model_validate(await run.source.observe(stage, name, look)))

    async def previous(self, run: RunContext) -> str | None:
        """The release to go back to: the one that was current when this run began to deploy."""
        if (effect := begun(run)) is not None:
            previous: str | None = effect.intent["previous"]
            return previous
        return (await run.source.current(partial(Baseline.now, run), recorded=self)).release_id


def effects_of_release(run: RunContext) -> list[Effect]:
    """Effects of the run's release that still count."""
    effects = run.ledger.effects.list(run.id)
    return [effect for effect in effects if effect.kind in _OF_A_RELEASE and not effect.superseded]


def begun(run: RunContext) -> Effect | None:
    """The run's candidate as soon as its effect is intended: from then on a change of the target is the run's own."""
    return next((effect for effect in effects_of_release(run) if effect.kind == "candidate"), None)
