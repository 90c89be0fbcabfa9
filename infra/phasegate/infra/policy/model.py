"""What a repository may say in `phasegate.toml`, with a default for everything.

Read from the base commit, never from the change. The digest of a run's policy is stored with the run and bound
into every gate. It must not know who reads it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.policy.base import ByteSize, Duration, SizeOrNone, Table, UrlPath
from phasegate.infra.policy.budgets import BudgetPolicy
from phasegate.infra.policy.contradictions import contradictions
from phasegate.infra.policy.migrations import MigrationsPolicy
from phasegate.infra.policy.monitor import MetricPolicy, MonitorPolicy
from phasegate.infra.policy.permissions import HostPattern, Permissions, PermissionsPolicy
from phasegate.infra.policy.retention import RetentionPolicy
from phasegate.infra.policy.services import ServicePolicy, VariableName, service_clashes
from phasegate.infra.policy.steps import StepPolicy

StageName = Literal["prd", "implementation", "testing", "deployment", "monitoring"]
PipelineGate = Literal["prd", "change", "release", "promotion"]
SmallGate = Literal["budget", "permission"]
GateName = PipelineGate | SmallGate

STAGES: tuple[StageName, ...] = get_args(StageName)
SMALL_GATES: tuple[SmallGate, ...] = get_args(SmallGate)
"""Those that an agent comes to in the middle of its work; they are neither skipped nor passed in advance."""
GATES: tuple[GateName, ...] = (*get_args(PipelineGate), *SMALL_GATES)
ADMIN = "admin"
"""The role of `[roles]` that may override a gate."""


def is_gate(name: str) -> TypeGuard[GateName]:
    """Whether there is a gate of this name."""
    return name in GATES


def _repository_path(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("must be a path inside the repository")
    return path


RepositoryPath = Annotated[str, AfterValidator(_repository_path)]


class ProjectPolicy(Table):
    """`[project]`: how this repository is built, tested and integrated."""

    base_branch: str = ""
    """The branch runs start from and integrate into; empty: the repository's current branch."""
    setup: str = ""
    """Run once per workspace and per grading checkout, before anything else; empty: nothing."""
    setup_environment: tuple[VariableName, ...] = ()
    """Names of variables, such as a package index's password, handed from the engine to `setup` and nothing else."""
    test: str = "pytest -q --junitxml={junit}"
    """Runs the project's tests; must write to `{junit}`: JUnit XML, or what `go test -json` or `cargo test` prints."""
    test_timeout: Duration = timedelta(minutes=10)
    """Wall clock one test run may take."""
    services: tuple[ServicePolicy, ...] = ()
    """What the tests need beside them; docs/services.md."""
    integrate: Literal["merge", "none"] = "merge"
    """How an approved change reaches the base branch: `merge` locally, or `none`."""

    @field_validator("test")
    @classmethod
    def _writes_junit(cls, test: str) -> str:
        if "{junit}" not in test:
            raise ValueError("must contain {junit}, where the JUnit XML report is to be written")
        return test

    @field_validator("services")
    @classmethod
    def _stand_beside_each_other(cls, services: tuple[ServicePolicy, ...]) -> tuple[ServicePolicy, ...]:
        if clash := service_clashes(services):
            raise ValueError(clash)
        return services


class LifecyclePolicy(Table):
    """`[lifecycle]`: which stages run, and how often one may be tried."""

    stages: tuple[StageName, ...] = STAGES
    """A prefix of prd, implementation, testing, deployment, monitoring."""
    max_attempts: int = Field(default=3, ge=1, le=20)
    """Implementation attempts before the run waits for an operator."""

    @field_validator("stages")
    @classmethod
    def _is_prefix(cls, stages: tuple[StageName, ...]) -> tuple[StageName, ...]:
        if not stages or stages != STAGES[: len(stages)]:
            raise ValueError(f"must be a prefix of {', '.join(STAGES)}")
        return stages


class StageAgentPolicy(Table):
    """`[agents.STAGE]`: what differs for one stage."""

    model: str = ""
    """`provider:model`; empty: the default of `[agents]`."""


class AgentsPolicy(Table):
    """`[agents]`: which model answers, for all stages and for single ones."""

    model: str = "openai:gpt-5.3-codex"
    """`openai:NAME`, `anthropic:NAME` or `compatible:NAME`."""
    prd: StageAgentPolicy = StageAgentPolicy()
    implementation: StageAgentPolicy = StageAgentPolicy()
    testing: StageAgentPolicy = StageAgentPolicy()
    deployment: StageAgentPolicy = StageAgentPolicy()
    monitoring: StageAgentPolicy = StageAgentPolicy()

    def model_for(self, stage: StageName) -> str:
        """The `provider:model` that works on a stage."""
        own: StageAgentPolicy = getattr(self, stage)
        return own.model or self.model


class GatePolicy(Table):
    """`[gates.GATE]`: who may decide, and for how long an open gate waits."""

    roles: tuple[str, ...] = ()
    """Roles of `[roles]` that may decide; empty: anyone the identity mode knows."""
    quorum: int = Field(default=1, ge=1)
    """How many different people must approve."""
    exclude_requester: bool = False
    """Whether the person who asked for the run may not decide."""
    expires: Duration = timedelta(days=7)
    """How long the gate waits before it must be opened anew."""
    off: bool = False
    """Whether this gate is skipped; needs `reason`."""
    reason: str = ""
    """Why the gate is off; shown on every run."""

    @model_validator(mode="after")
    def _off_has_reason(self) -> Self:
        if self.off and not self.reason:
            raise ValueError("a gate that is off needs a reason, which is shown on every run")
        return self


class GatesPolicy(Table):
    """`[gates]`: one table per gate; a gate that is not named has the defaults."""

    prd: GatePolicy = GatePolicy()
    change: GatePolicy = GatePolicy()
    release: GatePolicy = GatePolicy()
    promotion: GatePolicy = GatePolicy()
    budget: GatePolicy = GatePolicy()
    """Opens when a budget is used up; an approval grants as much again."""
    permission: GatePolicy = GatePolicy()
    """Opens when an agent wants to run a command that `[permissions] commands` has a person asked about."""

    @field_validator(*SMALL_GATES)
    @classmethod
    def _is_on(cls, gate: GatePolicy) -> GatePolicy:
        if gate.off:
            raise ValueError("cannot be off: set no budget, or allow the command, where nobody is to be asked")
        return gate

    def named(self, gate: GateName) -> GatePolicy:
        """What holds for one gate."""
        policy: GatePolicy = getattr(self, gate)
        return policy


class IdentityPolicy(Table):
    """`[identity]`: how phasegate knows who decides."""

    mode: Literal["local", "ssh"] = "local"
    """`local`: the operating-system user; `ssh`: whoever's key has signed the decision."""
    allowed_signers: str = ".github/allowed_signers"
    """With `ssh`: which key is whose, as ssh-keygen reads it; a path in the repository, read from the base commit."""


class SandboxPolicy(Table):
    """`[sandbox]`: what an agent-run command may reach."""

    backend: Literal["bubblewrap", "none"] = "bubblewrap"
    """`none` must be asked for by name and is shown on every gate page."""
    setup_network: bool = False
    """Whether `project.setup` may reach the network, all of it; tests never do."""
    network: tuple[HostPattern, ...] = ()
    """Hosts that agents' commands reach, through a proxy that lets nothing else pass, e.g. `example.org`."""
    environment: tuple[str, ...] = ()
    """Names of variables handed into the sandbox besides PATH, HOME, LANG and TERM."""
    memory: ByteSize = 2 * 1024**3
    """Address space of one command, in bytes (or `2GiB`)."""
    disk: ByteSize = 4 * 1024**3
    """By how much one command may make the workspace larger, in bytes (or `4GiB`)."""
    cpu_seconds: int = Field(default=600, ge=1)
    """Processor time of one command."""
    pids: int = Field(default=256, ge=8)
    """Processes a command may have at once."""
    command_timeout: Duration = timedelta(minutes=2)
    """Wall clock one command of an agent may take."""


class GradingPolicy(Table):
    """`[grading]`: how hard a change that passes its tests is looked at."""

    ablation_time: Duration = timedelta(minutes=1)
    """Wall clock for taking out each piece of a change alone, to see which no test guards; 0: not done."""
    flaky_reruns: int = Field(default=2, ge=0, le=10)
    """How often the tests are run again on the base commit, to find unstable ones, and when one fails on the change."""
    base: Literal["required", "warn"] = "required"
    """`required`: a run ends before any model call if the tests tell nothing on the base commit; `warn`: it continues,
    and the gate page says so."""
    coverage: bool = True
    """Whether the tests are run once more to see which changed lines they run."""
    characterize: Literal["thin", "never"] = "thin"
    """`thin`: where base's own tests run little of what the PRD is about, an agent also pins what base does there;
    `never`: it does not."""
    characterize_below: float = Field(default=0.3, ge=0, le=1)
    """Share of the lines, run on base, below which tests are thin; measured for Python and JavaScript."""
    plain_process: bool = True
    """True to run tests once more in a plain process, without a test runner: a difference fails the grade."""
    served: bool = True
    """True to start base and candidate as `[deploy] start` says, and to send them the requests of the tests."""


class ProtectPolicy(Table):
    """`[protect]`: what an agent may not change."""

    paths: tuple[str, ...] = ("phasegate.toml", ".github/**", ".gitlab-ci.yml")
    """Glob patterns, relative to the repository's root."""


class DeployCommandsPolicy(Table):
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


class DeployLimitsPolicy(Table):
    """`[deploy.limits]`: what a service on this machine may use, all its processes together; 0: as much as there is."""

    memory: SizeOrNone = 0
    """Bytes (or `512MiB`); a service that takes more is ended, and started again as after any death."""
    pids: int = Field(default=0, ge=0)
    """Processes at once."""
    open_files: int = Field(default=0, ge=0)
    """Files that each of its processes may have open."""


class DeployPolicy(Table):
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
    """How long a release may take until `health` answers."""
    environment: tuple[str, ...] = ()
    """Names of variables handed to the service, or to the commands, besides PATH, HOME, LANG and PORT."""
    listen: str = Field(default="127.0.0.1", pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")
    """With `process` and `canary`: the IPv4 address the front listens on; 0.0.0.0: every one."""
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
    """How long a rollout on Kubernetes may take, where a Deployment's own progress deadline may end it earlier; or one
    of the commands."""
    url: str = Field(default="", pattern=r"^(https?://[^\s#]+)?$")
    """Where the released service answers; empty: its Service's name inside the cluster."""
    steps: tuple[StepPolicy, ...] = ()
    """Walked in order between the candidate's start and the cut-over; docs/steps.md."""


class Policy(Table):
    """The whole of `phasegate.toml`."""

    project: ProjectPolicy = ProjectPolicy()
    lifecycle: LifecyclePolicy = LifecyclePolicy()
    agents: AgentsPolicy = AgentsPolicy()
    gates: GatesPolicy = GatesPolicy()
    roles: dict[str, tuple[str, ...]] = Field(default={})
    """Role name to the people who have it."""
    identity: IdentityPolicy = IdentityPolicy()
    sandbox: SandboxPolicy = SandboxPolicy()
    permissions: PermissionsPolicy = PermissionsPolicy()
    grading: GradingPolicy = GradingPolicy()
    protect: ProtectPolicy = ProtectPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    deploy: DeployPolicy = DeployPolicy()
    monitor: MonitorPolicy = MonitorPolicy()
    retention: RetentionPolicy = RetentionPolicy()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if problems := contradictions(self):
            text = "; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in problems)
            # the problems ride along so that whoever has the file's text can name each one's line
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "problems": problems})
        return self

    @property
    def metrics(self) -> tuple[MetricPolicy, ...]:
        """What is measured after a release: the metrics named, or one probe of the service's health path."""
        return self.monitor.metrics or (
            MetricPolicy(
                name="errors",
                path=self.deploy.health,
                count=5,
                interval=timedelta(seconds=1),
                failure_condition="error_rate > 0.05",
            ),
        )

    def permissions_for(self, stage: StageName) -> Permissions:
        """What a stage's agent may use, write and run."""
        return self.permissions.for_stage(stage)

    def sandbox_for(self, stage: StageName) -> SandboxPolicy:
        """What a stage's commands may reach and use up."""
        return self.sandbox.model_copy(update=self.permissions.limits_for(stage))

    @property
    def digest(self) -> str:
        """`sha256:…` of the policy's canonical JSON, defaults included."""
        return sha256(canonical_json(self.model_dump(mode="json")))
