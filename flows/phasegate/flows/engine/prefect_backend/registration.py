"""Registration of the engine's flow in Prefect: a work pool, its queue and a deployment, and nothing that meddles.

Made by the engine at its start, and checked while runs go on. Whoever has a browser's session can alter Prefect; a
paused pool would keep runs waiting for ever. The ledger decides, so all of it can be made again.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema

from phasegate.flows.engine.prefect_backend.worker import POOL, PhasegateWorker

DEPLOYMENT = "phasegate"
_HARMLESS_ACTIONS = frozenset({"do-nothing", "send-notification"})
_PAGE = 100
_TEMPLATE = PhasegateWorker.get_default_base_job_template()


class Registration:
    """The engine's flow as Prefect has it registered."""

    def __init__(self, client: PrefectClient, flow: Flow[..., Any], entrypoint: str) -> None:
        """A registration that is not made yet.

        Args:
            client: Prefect's client.
            flow: The deployment's flow.
            entrypoint: The flow, as `package.module:name`.
        """
        self._client, self._flow, self._entrypoint = client, flow, entrypoint
        self._version = importlib.metadata.version("phasegate")
        self._schema = parameter_schema(flow).model_dump_for_openapi()

    async def register(self) -> UUID:
        """The deployment's id: that of an engine before this one, if it was of the same version."""
        deployment = await self._deployment()
        return await self._make() if deployment is None or self._differs(deployment) else deployment.id

    async def repair(self) -> AsyncIterator[str]:
        """Put right whatever keeps Prefect from handing flow runs to the engine, or changes them by itself.

        Yields:
            A sentence for each thing that was found altered, once it is put right.

        Effects: the pool, its queues and the deployment as they were; automations that act, and limits, are deleted.

        Raises:
            httpx.HTTPError: Prefect did not answer.
        """
        async for text in self._repair_pool():
            yield text
        deployment = await self._deployment()
        if deployment is None or self._differs(deployment) or deployment.paused:
            await self._make()
            state = "deleted" if deployment is None else "changed"
            yield f"The deployment was {state}. It is registered again."
        async for text in self._delete_automations():
            yield text
        while limits := await self._client.read_concurrency_limits(_PAGE, 0):
            for limit in limits:
                await self._client.delete_concurrency_limit_by_tag(limit.tag)
                yield f"The concurrency limit of tag {limit.tag} holds runs up. It is deleted."
        while named_limits := await self._client.read_global_concurrency_limits(_PAGE, 0):
            for named in named_limits:
                await self._client.delete_global_concurrency_limit_by_name(named.name)
                yield f"The concurrency limit {named.name} holds runs up. It is deleted."

    async def _delete_automations(self) -> AsyncIterator[str]:
        """Delete the automations that do more than tell somebody."""
        kept = 0
        while automations := await self._client.read_automations(limit=_PAGE, offset=kept):
            for automation in automations:
                if {action.type for action in automation.actions} - _HARMLESS_ACTIONS:
                    await self._client.delete_automation(automation.id)
                    yield f"The automation {automation.name} changes runs or calls out. It is deleted."
                else:
                    kept += 1

    async def _repair_pool(self) -> AsyncIterator[str]:
        try:
            pool = await self._client.read_work_pool(POOL)
        except ObjectNotFound:
            await self._make()
            yield "The work pool was deleted. It is made again."
            return
        if pool.type != PhasegateWorker.type:
            await self._client.delete_work_pool(POOL)
            await self._make()
            yield "The work pool was of another type. It is made again."
            return
        if pool.base_job_template != _TEMPLATE:
            await self._client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=_TEMPLATE))
            yield "The work pool's template was changed. It is as it was."
        if pool.is_paused or pool.concurrency_limit is not None:
            await self._client.update_work_pool(POOL, WorkPoolUpdate(is_paused=False, concurrency_limit=None))
            yield "The work pool was paused or limited. It hands out runs again."
        for queue in await self._client.read_work_queues(POOL):
            if queue.is_paused or queue.concurrency_limit is not None:
                await self._client.update_work_queue(queue.id, is_paused=False, concurrency_limit=None)
                yield f"The work queue {queue.name} was paused or limited. It hands out runs again."

    async def _deployment(self) -> DeploymentResponse | None:
        try:
            return await self._client.read_deployment_by_name(f"{self._flow.name}/{DEPLOYMENT}")
        except ObjectNotFound:
            return None

    def _differs(self, deployment: DeploymentResponse) -> bool:
        expected: tuple[object, ...] = (self._version, self._entrypoint, POOL, self._schema, True, {}, {}, [])
        return expected != (
            deployment.version,
            deployment.entrypoint,
            deployment.work_pool_name,
            deployment.parameter_openapi_schema,
            deployment.enforce_parameter_schema,
            deployment.parameters,
            deployment.job_variables,
            deployment.schedules,
        )

    async def _make(self) -> UUID:
        with contextlib.suppress(ObjectAlreadyExists):
            await self._client.create_work_pool(
                WorkPoolCreate(name=POOL, type=PhasegateWorker.type, base_job_template=_TEMPLATE)
            )
        return await self._client.create_deployment(
            await self._client.create_flow(self._flow),
            DEPLOYMENT,
            version=self._version,
            work_pool_name=POOL,
            entrypoint=self._entrypoint,
            path=".",
            paused=False,
            description="Runs inside phasegate's engine.",
            parameter_openapi_schema=self._schema,
            enforce_parameter_schema=True,
            parameters={},
            job_variables={},
            schedules=[],
        )
