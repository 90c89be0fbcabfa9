"""Serving: how a release comes to serve in the place of another, and how the one before it comes back.

Called by the target, under the service's lock. What serves is recorded before and after; what does not come up is put
back as it was recorded, and all of it is read back.
"""

from __future__ import annotations

from typing import Any

from phasegate.infra.deploy.kubernetes.api.manifests import Ref
from phasegate.infra.deploy.kubernetes.apply import deviations
from phasegate.infra.deploy.kubernetes.context import ChangeContext
from phasegate.infra.deploy.kubernetes.records import Record
from phasegate.infra.deploy.kubernetes.status import live_release
from phasegate.infra.deploy.target import Check
from phasegate.infra.errors import DeployFailed, PhasegateError, TargetRefused, TargetUnavailable


async def replace_current(change: ChangeContext, record: Record) -> None:
    """Make a release current; if it does not come up, put the former one back."""
    state, former = change.state, change.state.current
    if former != record.release_id:
        record.previous = former
    await change.records.write_record(record)
    state.changing = record.release_id
    await change.records.write_state(state)
    try:
        reached = await converge(change, record)
    except (DeployFailed, TargetRefused) as failure:
        if former == record.release_id:
            raise
        await change.keep_log(record, record.manifests)
        before = await change.records.record(former) if former else None
        try:
            await converge(change, before)
            await mark_current(change, former)
        except PhasegateError as second:
            raise _both(failure, second) from second
        failure.context["restored"] = former or "what was there before"
        raise
    record.checks = (
        *(check for check in record.checks if check.name in {"dry-run", "canary"}),
        Check(name="rollout", ok=True, detail=reached),
        Check(name="read-back", ok=True, detail=f"{len(record.manifests)} objects are live as they were applied"),
        *(Check(name="api-server", ok=True, detail=absence) for absence in change.applier.cluster.absences),
    )
    await change.records.write_record(record)
    await mark_current(change, record.release_id)


async def converge(change: ChangeContext, record: Record | None) -> str:
    """Bring every object to where a release wants it; for `None`, to where it was before phasegate came.

    Returns:
        What was reached.

    Raises:
        DeployFailed: It did not come up, or is not as it was applied.
        TargetRefused: Something is missing that a person has to give.
    """
    names = dict.fromkeys((change.state.current, change.state.changing))
    leaving = [await change.records.record(name) for name in names if name]
    desired = list(record.manifests) if record else []
    before = {
        Ref.of(manifest): manifest
        for manifest in reversed([manifest for other in leaving for manifest in other.before])
    }
    superfluous = {ref for other in leaving for ref in other.refs} - {Ref.of(manifest) for manifest in desired}
    desired += [before[ref] for ref in sorted(superfluous) if ref in before]
    taking = {field for other in [*leaving, *([record] if record else [])] for field in other.taking}
    await change.applier.apply(desired, taking)
    back = record is None or record.release_id != change.state.changing
    reached = await change.applier.roll_out(desired, back=back)
    await change.applier.delete_and_wait(sorted(superfluous - before.keys()))
    if differences := await deviations(change.applier.cluster, desired):
        raise DeployFailed(
            f"It was applied, but read back it is something else: {'; '.join(differences)}.",
            remedy="See who changes it: `kubectl get … -o yaml --show-managed-fields` names them.",
            reason="drift",
        )
    return reached


async def mark_current(change: ChangeContext, release_id: str | None) -> None:
    """Record that a release is current; for `None`, that no release of phasegate's is."""
    change.state.current, change.state.changing = release_id, None
    await change.records.write_state(change.state)


async def serves(change: ChangeContext, record: Record) -> bool:
    """True if a release is current and live as it was applied, so that nothing has to be done."""
    if change.state.current != record.release_id or change.state.changing is not None:
        return False
    live = await live_release(change.applier.cluster, record, record.manifests)
    return live.alive and not await deviations(change.applier.cluster, record.manifests)


def _both(failure: PhasegateError, second: PhasegateError) -> PhasegateError:
    """A release that failed, and what served before it not put back: its end is the second's."""
    text = f"{failure.message}\nAnd what served before was not put back: {second.message}"
    context: dict[str, Any] = {**failure.context, "restored": "not yet"}
    kinds = (TargetRefused, TargetUnavailable)
    kind = next((kind for kind in kinds if isinstance(second, kind)), DeployFailed)
    return kind(text, remedy=second.remedy, **context)
