"""A command run beside the services that policy names, all in one invocation of the sandbox.

Called by grading and by the agents' `run` tool. A sandbox has a network of its own, so a service can be reached only
from the invocation that started it. It must not know what the command is for.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from phasegate.infra.errors import ServiceFailed
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import service_supervisor
from phasegate.infra.sandbox.environment import as_arguments
from phasegate.infra.sandbox.identity import Identity
from phasegate.infra.sandbox.port import OUTPUT_LIMIT, BuildCaches, CommandResult, Sandbox
from phasegate.infra.system.trees import remove_tree

_TAIL = 2_000
_DEBIAN = {"postgres": "postgresql", "redis": "redis-server"}


async def run_with_services(
    sandbox: Sandbox,
    services: Sequence[ServicePolicy],
    command: str | Sequence[str],
    *,
    folder: Path,
    timeout: timedelta,  # noqa: ASYNC109 - the sandbox's
    environment: Mapping[str, str] | None = None,
    writable: Sequence[Path] = (),
    output_limit: int = OUTPUT_LIMIT,
    inside: Path | None = None,
    beneath: Path | None = None,
    caches: BuildCaches | None = None,
    identity: Identity | None = None,
) -> CommandResult:
    """Start the services, run a command with the variables that name them, and leave nothing running.

    Args:
        sandbox: Where.
        services: Started fresh, in this order; none: the command is run as it is.
        command: As for the sandbox.
        folder: As for the sandbox.
        timeout: For the command; the services' own time comes on top.
        environment: Variables for the command; services do not see them.
        writable: As for the sandbox.
        output_limit: As for the sandbox.
        inside: As for the sandbox.
        beneath: As for the sandbox.
        caches: As for the sandbox.
        identity: As for the sandbox; services have it, too.

    Raises:
        ServiceFailed: A service did not come up; the message quotes its log.
    """
    if not services:
        return await sandbox.run(
            command,
            folder=folder,
            timeout=timeout,
            environment=environment,
            writable=writable,
            output_limit=output_limit,
            inside=inside,
            beneath=beneath,
            caches=caches,
            identity=identity,
        )
    mark = f"phasegate-services-{secrets.token_hex(16)}"
    data = Path(tempfile.gettempdir() if sandbox.name == "none" else "/tmp") / f"phasegate-{secrets.token_hex(8)}"  # noqa: S108 - the sandbox's own, or removed below
    order = {"mark": mark, "folder": str(data), "services": [_order(service) for service in services]}
    grace = timedelta(seconds=service_supervisor.GRACE_SECONDS)
    try:
        result = await sandbox.run(
            [sys.executable, "-I", "-S", "-c", _supervisor(), json.dumps(order), *as_arguments(command)],
            folder=folder,
            timeout=sum((service.start_timeout + grace for service in services), timeout),
            environment=environment,
            writable=writable,
            output_limit=output_limit,
            inside=inside,
            beneath=beneath,
            caches=caches,
            identity=identity,
        )
    finally:  # inside a sandbox, its folder is gone with it
        await asyncio.to_thread(remove_tree, data, ignore_errors=True)
    before, _, after = result.output.partition(f"{mark} ")
    how, _, rest = after.partition("\n")
    if how != "up":
        why = rest if how == "failed" else f"{before}\n{result.stopped or 'they took too long, or were killed'}"
        raise ServiceFailed(f"A service that the tests need did not come up: {why.strip()[-_TAIL:]}")
    return replace(result, output=before + rest)


def service_programs(services: Sequence[ServicePolicy], path: str) -> Iterator[tuple[ServicePolicy, str, str]]:
    """The services that phasegate starts itself, where their programs are (empty: nowhere), and their Debian package.

    Args:
        services: What policy names.
        path: PATH.
    """
    for service in services:
        if service.kind == "postgres":
            yield service, str(service_supervisor.postgres_folder(path) or ""), _DEBIAN[service.kind]
        elif service.kind == "redis":
            yield service, service_supervisor.redis_program(path) or "", _DEBIAN[service.kind]


def _order(service: ServicePolicy) -> dict[str, object]:
    return {
        **service.model_dump(include={"name", "kind", "port", "start", "ready"}),
        "variables": service.exported,
        "seconds": service.start_timeout.total_seconds(),
    }


@cache
def _supervisor() -> str:
    return Path(service_supervisor.__file__).read_text()
