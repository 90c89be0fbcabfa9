"""`[deploy]` of `phasegate.toml`: where an approved change runs, and how a release comes to serve there.

Part of the policy's model. It must not know who deploys.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Literal

from pydantic import Field

from phasegate.infra.policy.base import ByteSize, Duration, PolicyModel, Problem, RepositoryPath, SizeOrNone, UrlPath
from phasegate.infra.policy.migrations import MigrationsPolicy
from phasegate.infra.policy.steps import StepPolicy


class DeployCommandsPolicy(PolicyModel):
    """`[deploy.commands]`: how the team itself releases; docs/targets.md says what each is told and has to print."""

    deploy: str = ""
    """Starts a release beside the current one, and ends once it is healthy."""
    weight: str = ""
    """Gives a candidate a share of the traffic; needed for nothing but steps with `set_weight`."""
    promote: str = ""
    """Lets a release serve in the place of the current one."""
    rollback: str = ""
    """Takes a release away, and lets the one before it serve."""
    status: str = ""
    """Prints what serves; changes nothing."""
    stop: str = ""
    """Stops the service; needed for nothing else."""


class DeployLimitsPolicy(PolicyModel):
    """`[deploy.limits]`: what a service on this machine may use, all its processes together; 0: as much as there is."""

    memory: SizeOrNone = 0
    """Bytes (or `512MiB`); a service that takes more is ended, and started again as after any death."""
    pids: int = Field(default=0, ge=0)
    """Processes at once."""
    open_files: int = Field(default=0, ge=0)
    """Files that each of its processes may have open."""


class DeployPolicy(PolicyModel):
    """`[deploy]`: where an approved change runs."""

    target: Literal["process", "kubernetes", "command"] = "process"
    """`process`: a local service, candidate beside current; `kubernetes`: the manifests of the commit, applied;
    `command`: the team's own commands."""
    commands: DeployCommandsPolicy = DeployCommandsPolicy()
    migrations: MigrationsPolicy = MigrationsPolicy()
    start: str = ""
    """With `process`: starts the service in the foreground on `{port}`."""
    health: UrlPath = "/"
    """Path that answers 2xx once the service is up."""
    port: int = Field(default=0, ge=0, le=65535)
    """The service's port; 0: a free one, chosen at the first release and kept."""
    start_timeout: Duration = timedelta(seconds=30)
    """Time that a release may take until `health` answers."""
    environment: tuple[str, ...] = ()
    """Names of variables handed to the service, or to the commands, besides PATH, HOME, LANG and PORT."""
    listen: str = Field(default="127.0.0.1", pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")
    """With `process` and `canary`: the IPv4 address the proxy listens on; 0.0.0.0: every one."""
    drain_timeout: Duration = timedelta(seconds=30)
    """With `process` and `canary`: how long a release that got no more traffic may finish what it had begun."""
    restarts: int = Field(default=5, ge=0)
    """With `process`: how often a service that dies is started again, unless it ran a minute in between; 0: never."""
    log_size: ByteSize = 64 * 1024**2
    """With `process`: how long a release's log may grow (or `64MiB`) before it starts afresh; one earlier is kept."""
    keep_releases: int = Field(default=5, ge=1)
    """With `process`: of how many releases, the newest, the files are kept besides those that may serve again."""
    limits: DeployLimitsPolicy = DeployLimitsPolicy()
    manifests: RepositoryPath = ""
    """With `kubernetes`: a folder of YAML or JSON files, or one built file; every image by its digest."""
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """The namespace releases go to."""
    context: str = ""
    """The context of the engine's kubeconfig; empty: its current one, or the service account phasegate runs as."""
    strategy: Literal["rolling", "canary"] = "rolling"
    """`rolling`: each Deployment updates itself; `canary`: a share of its replicas runs the release first, as a second
    Deployment behind the same Service. With `process`, `canary` puts HAProxy before the releases: the candidate can
    take a share of the traffic, and no connection is dropped."""
    canary_percent: int = Field(default=10, ge=1, le=50)
    """The share of replicas that a canary is, rounded up to one."""
    rollout_timeout: Duration = timedelta(minutes=10)
    """Time that a rollout on Kubernetes may take, where a Deployment's own progress deadline may end it earlier; or one
    of the commands."""
    url: str = Field(default="", pattern=r"^(https?://[^\s#]+)?$")
    """Address at which the released service answers; empty: its Service's name inside the cluster."""
    steps: tuple[StepPolicy, ...] = ()
    """Run in order between the candidate's start and the cut-over; docs/steps.md."""


def missing_keys(deploy: DeployPolicy) -> list[tuple[tuple[str, ...], str]]:
    """Keys that a target cannot do without, and what to do about each."""
    if deploy.target == "process" and not deploy.start:
        return [(("start",), "write the command that starts the service on {port}")]
    if deploy.target == "kubernetes" and not deploy.manifests:
        return [(("manifests",), "name the folder or built file that is to be applied")]
    if deploy.target == "command":
        needed = ("deploy", "promote", "rollback", "status")
        return [(("commands", key), "write that command") for key in needed if not getattr(deploy.commands, key)]
    return []


def steps_problems(deploy: DeployPolicy, *, known: Collection[str]) -> list[Problem]:
    """Find what a target cannot do of its steps, and metrics that are not there.

    Args:
        deploy: Its steps and target.
        known: The names of all metrics.
    """
    problems: list[Problem] = []
    for number, step in enumerate(deploy.steps):
        for place, name in enumerate(step.analysis or ()):
            if name not in known:
                path = ("deploy", "steps", number, "analysis", place)
                problems.append((path, f"no metric is called {name!r}; known are {', '.join(known)}"))
    if not any(step.kind in {"set_weight", "analysis"} for step in deploy.steps):
        return problems
    shifts = any(step.kind == "set_weight" for step in deploy.steps)
    if deploy.target == "command" and shifts and not deploy.commands.weight:
        message = "is needed, because deploy.steps say `set_weight`: write the command that shifts traffic"
        problems.append((("deploy", "commands", "weight"), message))
    if deploy.target == "kubernetes" and deploy.strategy != "canary":
        message = 'has to be "canary", because deploy.steps need a candidate that runs beside what serves'
        problems.append((("deploy", "strategy"), message))
    if deploy.target == "process" and deploy.strategy != "canary" and shifts:
        message = 'has to be "canary", because deploy.steps say `set_weight`: only then there is a proxy that shifts'
        problems.append((("deploy", "strategy"), message))
    return problems
