"""`[[project.services]]`: the programs that a project's tests need beside them.

Read by `model`. It must not know how a service is started.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from phasegate.infra.policy.base import Duration, PolicyModel

_VARIABLES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
_URLS = {
    "postgres": "postgresql://{user}:{password}@{host}:{port}/{database}",
    "redis": "redis://:{password}@{host}:{port}/0",
    "command": "http://{host}:{port}",
}
_RESERVED = ("PATH", "HOME")


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in _RESERVED or name.startswith("LD_"):
        raise ValueError("must be the name of an environment variable, and not PATH, HOME or LD_…")
    return name


VariableName = Annotated[str, AfterValidator(_variable)]


class ServicePolicy(PolicyModel):
    """`[[project.services]]`: a program started fresh for each run of the tests, inside its sandbox."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    """Names it in messages."""
    kind: Literal["postgres", "redis", "command"]
    """`postgres` and `redis`: this machine's own programs, with an empty database; `command`: what `start` says."""
    variable: VariableName | Literal[""] = ""
    """The variable that holds `url` for the tests; empty: DATABASE_URL, REDIS_URL, or the name with `_URL`."""
    url: str = ""
    """The address, with `{host}`, `{port}`, `{folder}` and, where the kind has them, `{user}`, `{password}` and
    `{database}`; empty: `postgresql://…`, `redis://…` or `http://{host}:{port}`."""
    variables: dict[VariableName, str] = Field(default={})
    """Further variables for the tests, with the same placeholders, such as `PGPORT = "{port}"`."""
    port: int = Field(default=0, ge=0, le=65535)
    """The port on loopback; 0: a free one."""
    start: str = ""
    """With `command`: runs in the foreground, in an empty folder; may name `{port}`, `{folder}` and `{checkout}`."""
    ready: str = ""
    """With `command`: exits 0 once the service is up; empty: it is up once the port accepts connections."""
    start_timeout: Duration = timedelta(minutes=1)
    """Time that it may take to come up."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "command" and not self.start:
            raise ValueError("a service of kind `command` needs `start`")
        if self.kind != "command" and (self.start or self.ready):
            raise ValueError(f"`start` and `ready` belong to kind `command`; {self.kind} is started by phasegate")
        if self.kind == "command" and not (self.port or self.ready or "{port}" in self.start):
            raise ValueError("`start` has to name {port}, unless `port` or `ready` is given")
        return self

    @property
    def exported(self) -> dict[str, str]:
        """Variables for the tests' environment: name to text with placeholders."""
        own = self.variable or _VARIABLES.get(self.kind) or f"{self.name.upper().replace('-', '_')}_URL"
        return {own: self.url or _URLS[self.kind], **self.variables}


def service_clashes(services: tuple[ServicePolicy, ...]) -> str:
    """Reason why some services cannot run together, or an empty string if they can."""
    names = [service.name for service in services]
    variables = [name for service in services for name in service.exported]
    for what, values in (("is called", names), ("sets the variable", variables)):
        for value in values:
            if values.count(value) > 1:
                return f"more than one service {what} {value}"
    return ""
