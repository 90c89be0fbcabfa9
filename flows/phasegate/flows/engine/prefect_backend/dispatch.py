"""Dispatch of flow runs to Prefect: create, reschedule and list them.

Called by the engine and its services (outbox, reconciler). Every call may be repeated. A run is known by its id alone,
and nothing is decided here: the ledger says what a rescheduled flow run does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled
from prefect.types import KeyValueLabels
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from phasegate.infra.errors import NotFound

RUN_TAG = "run:"
RESCHEDULED = "set going again by phasegate"
"""Message of a state that this module forces in Prefect."""
_TRIES = 4
_FIRST_BACKOFF_SECONDS = 0.2
_PAGE = 200
_OPEN = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


@dataclass(frozen=True)
class OpenFlowRun:
    """A flow run that has not ended, as Prefect sees it.

    Attributes:
        id: Prefect's id.
        run_id: The run it belongs to; None if it was started from Prefect's own interface.
        state: The state's name: Scheduled, Pending, Running, Paused, Suspended, AwaitingRetry, Cancelling …
        since: When it entered that state.
    """

    id: UUID
    run_id: str | None
    state: str
    since: datetime | None

    @property
    def waiting(self) -> bool:
        """True if it waits at a gate, hot or suspended."""
        return self.state in {"Paused", "Suspended"}

    @property
    def claimed(self) -> bool:
        """True if a worker took it: it is lost unless a worker runs it."""
        return self.state not in {"Scheduled", "Late", "Resuming", "Suspended"}


async def create_flow_run(
    client: PrefectClient,
    deployment_id: UUID,
    run_id: str,
    *,
    idempotency_key: str,
    name: str,
    tags: Iterable[str] = (),
    labels: KeyValueLabels | None = None,
) -> UUID:
    """Create the flow run of a run, scheduled for now; the same key gives the same flow run again.

    Effects: one flow run in Prefect, idempotent by `idempotency_key`.

    Raises:
        NotFound: Prefect has no such deployment, or has another one in its place.
        httpx.HTTPError: Prefect did not answer, in spite of retries.
    """
    try:
        flow_run = await _RETRYING.wraps(client.create_flow_run_from_deployment)(
            deployment_id,
            parameters={"run_id": run_id},
            name=name,
            tags=[f"{RUN_TAG}{run_id}", *tags],
            idempotency_key=idempotency_key,
            labels=labels,
        )
    except httpx.HTTPStatusError as error:
        if error.response.is_client_error:
            raise NotFound(f"Prefect makes no flow run of deployment {deployment_id}: {error}.") from error
        raise
    return flow_run.id


async def reschedule(
    client: PrefectClient, flow_run_id: UUID, run_id: str, *, deployment_id: UUID, running_here: Callable[[UUID], bool]
) -> bool:
    """Schedule a flow run again from the top, whatever its state.

    The state is forced: Prefect's rules refuse to let a Running or Cancelled flow run be claimed again, fail one whose
    pause timed out, and forget nothing about a suspension but its key. None of that decides anything here, since a gate
    asks its own question again (`wait_at_gate`) and a finished stage is found finished.

    Args:
        client: Prefect's client.
        flow_run_id: The flow run.
        run_id: The run that it executes.
        deployment_id: The deployment that hands out flow runs.
        running_here: The worker's `is_running`. The engine's lock makes sure that no other process runs it.

    Returns:
        False if this process runs the flow run right now.

    Effects: the state in Prefect; a second call while it is scheduled for now changes nothing. A flow run whose
    queue or deployment was deleted is deleted, too.

    Raises:
        NotFound: Prefect has no such flow run, or it was never to be handed out.
        httpx.HTTPError: Prefect did not answer, in spite of retries.
    """
    try:
        flow_run = await _RETRYING.wraps(client.read_flow_run)(flow_run_id)
    except ObjectNotFound as error:
        raise NotFound(f"Prefect has no flow run {flow_run_id}.") from error
    if running_here(flow_run_id):
        return False
    known = (deployment_id, {"run_id": run_id})
    if flow_run.work_queue_id is None or (flow_run.deployment_id, flow_run.parameters) != known:
        # Its queue or deployment was deleted, or it would execute something else. Another one would have its key.
        await _RETRYING.wraps(client.delete_flow_run)(flow_run_id)
        raise NotFound(f"Prefect had flow run {flow_run_id} in no queue, or with other parameters.")
    if not _due(flow_run):
        state: State[Any] = Scheduled(message=RESCHEDULED)
        await _RETRYING.wraps(client.set_flow_run_state)(flow_run_id, state, force=True)
    return True


async def open_flow_runs(client: PrefectClient, deployment_id: UUID, *, run_id: str | None = None) -> list[OpenFlowRun]:
    """The deployment's flow runs that have not ended, as Prefect believes; those of one run only, if named.

    Raises:
        httpx.HTTPError: Prefect did not answer, in spite of retries.
    """
    selection = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)),
        tags=None if run_id is None else FlowRunFilterTags(all_=[f"{RUN_TAG}{run_id}"]),
    )
    deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    flow_runs: list[FlowRun] = []
    more = True
    while more:
        page = await _RETRYING.wraps(client.read_flow_runs)(
            flow_run_filter=selection, deployment_filter=deployment, limit=_PAGE, offset=len(flow_runs)
        )
        flow_runs += page
        more = len(page) == _PAGE
    return [_opened(flow_run) for flow_run in flow_runs]


def _opened(flow_run: FlowRun) -> OpenFlowRun:
    runs = [tag.removeprefix(RUN_TAG) for tag in flow_run.tags if tag.startswith(RUN_TAG)]
    return OpenFlowRun(
        id=flow_run.id,
        run_id=runs[0] if runs else None,
        state=flow_run.state_name or "",
        since=flow_run.state.timestamp if flow_run.state else None,
    )


def _due(flow_run: FlowRun) -> bool:
    state = flow_run.state
    if state is None or not state.is_scheduled():
        return False
    scheduled_time = state.state_details.scheduled_time
    return scheduled_time is None or scheduled_time <= datetime.now(tz=scheduled_time.tzinfo)


def _may_pass(error: BaseException) -> bool:
    """True if SQLite was too busy for a request, or the server may be on its way back."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, httpx.TransportError)


_RETRYING = AsyncRetrying(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(_TRIES),
    wait=wait_exponential_jitter(multiplier=_FIRST_BACKOFF_SECONDS, jitter=_FIRST_BACKOFF_SECONDS),
    reraise=True,
)
"""Retries of a request; the client's own retries come first."""
