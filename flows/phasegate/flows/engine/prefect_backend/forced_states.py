"""Forced states: states of a waiting flow run that phasegate did not ask for, found so that they can be recorded.

Asked by the executor. Such a state opens nothing, recorded or not. This module must not know what a gate is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext

from phasegate.flows.engine.executor import ForcedState
from phasegate.flows.engine.prefect_backend.dispatch import RESCHEDULED
from phasegate.flows.engine.prefect_backend.flow_run import StopReason
from phasegate.flows.engine.prefect_backend.gate_wait import RESUMED

_OURS = frozenset({RESCHEDULED, RESUMED, *(reason.value for reason in StopReason)})

_log = logging.getLogger(__name__)


async def forced_between(opened: datetime, answered: datetime | None) -> Sequence[ForcedState]:
    """The states that others forced on the current flow run while a gate was open, as far as Prefect tells.

    Args:
        opened: The time at which the gate opened.
        answered: The time at which it was decided; None while it is open.

    Returns:
        The states; none outside of a flow run or while Prefect does not answer, since they decide nothing.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return []
    try:
        async with get_client() as client:
            states = await client.read_flow_run_states(context.flow_run.id)
    except httpx.HTTPError as error:
        _log.warning("What Prefect was told of %s is not known: %r", context.flow_run.id, error)
        return []
    return list(_forced(states, opened, answered))


def _forced(states: Iterable[State[Any]], opened: datetime, answered: datetime | None) -> Iterable[ForcedState]:
    before: StateType | None = None
    for state in sorted(states, key=lambda state: state.timestamp):
        began = state.type is StateType.RUNNING and before in {StateType.PENDING, StateType.RUNNING}
        ended = state.type is StateType.COMPLETED and before is StateType.RUNNING  # the flow itself came to its end
        watched = state.type in {StateType.SCHEDULED, StateType.RUNNING, StateType.COMPLETED}
        meanwhile = state.timestamp > opened and (answered is None or state.timestamp <= answered)
        if watched and not began and not ended and state.message not in _OURS and meanwhile:
            yield ForcedState(state.id, state.name or state.type.value)
        before = state.type
