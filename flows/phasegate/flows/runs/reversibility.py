"""Reversibility of a run, read from the ledger alone, and the message once it is lost.

Asked by the saga before it undoes anything, and by the doors before they ask for it, so that both say the same. A
migration that is made is the point of no return: data written after it may be unreadable for an older release.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasegate.infra.errors import NotAllowed, PastPivot
from phasegate.infra.ledger import Effect, Ledger
from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import payload_of
from phasegate.infra.policy.commands import CommandName


def effects_with_adopted(ledger: Ledger, run_id: str) -> list[Effect]:
    """A run's effects and, before them, those it adopted, oldest first."""
    return [*adopted_effects(ledger, run_id), *ledger.effects.list(run_id)]


def effects_to_undo(ledger: Ledger, run_id: str, status: str = "") -> list[Effect]:
    """Effects that a rollback of a run undoes, oldest first.

    Effects that a replay adopted of a run that is done stay with that run. A replay of its monitoring is the exception:
    it judges the adopted release, and undoes the release with all that was adopted, unless it is only cancelled.

    Args:
        ledger: The ledger.
        run_id: The run.
        status: The status that the run is to have after it; empty if it continues.
    """
    own = ledger.effects.list(run_id)
    adopted = adopted_effects(ledger, run_id)
    judges_release = any(effect.kind == "cut-over" for effect in adopted) and status != "cancelled"
    return own if _replays_done_run(ledger, run_id) and not judges_release else [*adopted, *own]


def adopted_effects(ledger: Ledger, run_id: str) -> list[Effect]:
    """Effects that a run adopted from the one it replays, oldest first."""
    return [ledger.effects.get(key) for key in adopted_keys(ledger, run_id)]


def _replays_done_run(ledger: Ledger, run_id: str) -> bool:
    """True if an earlier run that this one goes back to, directly or not, is done."""
    origin = ledger.runs.get(run_id).origin
    while origin is not None:
        earlier = ledger.runs.get(origin.run)
        if earlier.status == "done":
            return True
        origin = earlier.origin
    return False


def adopted_keys(ledger: Ledger, run_id: str) -> list[str]:
    """The keys of the effects that a run adopted from the one it replays."""
    events = ledger.events(run_id, kinds=(EventKind.EFFECT_ADOPTED,))
    return [payload_of(event, payloads.EffectAdopted)["effect"] for event in events]


def require_reversible(ledger: Ledger, run_id: str, request: CommandName) -> None:
    """Refuse a request to undo a run that can no longer be undone.

    Raises:
        NotAllowed: The run has made something that cannot be undone.
    """
    effects = effects_to_undo(ledger, run_id, "cancelled" if request == "cancel" else "")
    if pivots := irreversible_effects(effects):
        past = past_pivot(run_id, effects, pivots)
        raise NotAllowed(f"there is no {request} of run {run_id}: {past.message}", remedy=past.remedy)


def irreversible_effects(effects: Sequence[Effect]) -> list[Effect]:
    """Pivots that were made, oldest first."""
    return [effect for effect in effects if effect.effect_class == "pivot" and effect.status == "done"]


def past_pivot(
    run_id: str, effects: Sequence[Effect], pivots: Sequence[Effect], *, why: str = "", traffic: str = ""
) -> PastPivot:
    """The error of a run that can only go forward.

    Args:
        run_id: The run.
        effects: All its effects.
        pivots: The effects that keep it from going back, including those that may not have been made.
        why: The reason for undoing it; empty if a person asked.
        traffic: A sentence about traffic that does not go where it should.
    """
    done = [_named(effect) for effect in pivots if effect.status == "done"]
    unfinished = [_named(effect) for effect in pivots if effect.status != "done"]
    stands = [
        *([f"{_listed(done)} made and cannot be undone"] if done else []),
        *([f"{_listed(unfinished)} begun, and nobody can say how far it got"] if unfinished else []),
    ]
    held = f"{'; '.join(stands)}. So nothing of this run is undone: it only goes forward"
    text = ". ".join(
        f"{fact[0].upper()}{fact[1:]}" for fact in (why.rstrip("."), held, _serving(effects), traffic) if fact
    )
    return PastPivot(
        f"{text}.",
        remedy=(
            f"Mend what is wrong, by a ticket of its own with `phasegate run TICKET` or by hand. "
            f"`phasegate resume {run_id}` {_next(effects)}."
        ),
        effect=pivots[0].key,
    )


def _named(effect: Effect) -> str:
    migration = effect.intent.get("migration")
    return f"{effect.kind} migration {migration!r}" if migration else effect.kind


def _listed(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _cut_over(effects: Sequence[Effect]) -> Effect | None:
    cut_overs = (effect for effect in reversed(effects) if effect.kind == "cut-over" and effect.status == "done")
    return next(cut_overs, None)


def _serving(effects: Sequence[Effect]) -> str:
    """Sentence on the current release and its data, or an empty text if the run has released nothing."""
    if (cut_over := _cut_over(effects)) is not None:
        serves, before = cut_over.intent["release_id"], cut_over.intent.get("previous")
        spared = f"; release {before}, which served before, may not work with what is stored now" if before else ""
        return f"release {serves} serves on{spared}"
    candidate = next((effect for effect in reversed(effects) if effect.kind == "candidate"), None)
    if candidate is None:
        return ""
    previous = candidate.intent.get("previous")
    return f"{f'release {previous}' if previous else 'nothing'} serves as before, on what is stored now"


def _next(effects: Sequence[Effect]) -> str:
    if _cut_over(effects) is not None:
        return "then measures the release again, and goes on if it holds"
    return "then goes on with the release from where it stopped"
