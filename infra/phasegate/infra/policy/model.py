"""What a repository may say in `phasegate.toml`, with a default for everything.

Read from the base commit, never from the change. The digest of a run's policy is stored with the run and bound
into every gate. It must not know who reads it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.policy.units import parse_duration, parse_size

STAGES = ("prd", "implementation", "testing", "deployment", "monitoring")
GATES = ("prd", "change", "release", "promotion")

StageName = Literal["prd", "implementation", "testing", "deployment", "monitoring"]
GateName = Literal["prd", "change", "release", "promotion"]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
ByteSize = Annotated[int, BeforeValidator(parse_size)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ProjectPolicy(_Table):
    """`[project]`: how this repository is built, tested and integrated."""

    base_branch: str = ""
    """The branch runs start from and integrate into; empty: the repository's current branch."""
    setup: str = ""
    """Run once per workspace and per grading checkout, before anything else; empty: nothing."""
    test: str = "pytest -q --junitxml={junit}"
    """Runs the project's tests; must write JUnit XML to `{junit}`."""
    test_timeout: Duration = timedelta(minutes=10)
    """Wall clock one test run may take."""
    integrate: Literal["merge", "none"] = "merge"
    """How an approved change reaches the base branch: `merge` locally, or `none`."""

    @model_validator(mode="after")
    def _writes_junit(self) -> Self:
        if "{junit}" not in self.test:
            raise ValueError("project.test must contain {junit}, where the JUnit XML report is to be written")
        return self


class LifecyclePolicy(_Table):
    """`[lifecycle]`: which stages run, and how often one may be tried."""

    stages: tuple[StageName, ...] = STAGES
    """A prefix of prd, implementation, testing, deployment, monitoring."""
    max_attempts: int = Field(default=3, ge=1, le=20)
    """Implementation attempts before the run waits for an operator."""

    @model_validator(mode="after")
    def _is_prefix(self) -> Self:
        if not self.stages or self.stages != STAGES[: len(self.stages)]:
            raise ValueError(f"lifecycle.stages must be a prefix of {', '.join(STAGES)}")
        return self


class StageAgentPolicy(_Table):
    """`[agents.STAGE]`: what differs for one stage."""

    model: str = ""
    """`provider:model`; empty: the default of `[agents]`."""


class AgentsPolicy(_Table):
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
        return getattr(self, stage).model or self.model


class GatePolicy(_Table):
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
            raise ValueError("a gate that is off needs a reason")
        return self


class GatesPolicy(_Table):
    """`[gates]`: one table per gate; a gate that is not named has the defaults."""

    prd: GatePolicy = GatePolicy()
    change: GatePolicy = GatePolicy()
    release: GatePolicy = GatePolicy()
    promotion: GatePolicy = GatePolicy()


class IdentityPolicy(_Table):
    """`[identity]`: how phasegate knows who decides."""

    mode: Literal["local"] = "local"
    """`local`: the operating-system user."""


class SandboxPolicy(_Table):
    """`[sandbox]`: what an agent-run command may reach."""

    backend: Literal["bubblewrap", "none"] = "bubblewrap"
    """`none` must be asked for by name and is shown on every gate page."""
    setup_network: bool = False
    """Whether `project.setup` may reach the network; agents and tests never do."""
    environment: tuple[str, ...] = ()
    """Names of variables handed into the sandbox besides PATH, HOME, LANG and TERM."""
    memory: ByteSize = 2 * 1024**3
    """Address space of one command, in bytes (or `2GiB`)."""
    cpu_seconds: int = Field(default=600, ge=1)
    """Processor time of one command."""
    pids: int = Field(default=256, ge=8)
    """Processes a command may have at once."""
    command_timeout: Duration = timedelta(minutes=2)
    """Wall clock one command of an agent may take."""


class ProtectPolicy(_Table):
    """`[protect]`: what an agent may not change."""

    paths: tuple[str, ...] = ("phasegate.toml", ".github/**", ".gitlab-ci.yml")
    """Glob patterns, relative to the repository's root."""


class BudgetPolicy(_Table):
    """`[budget]`: checked before every model call of a run."""

    cost_usd: float | None = Field(default=None, gt=0)
    """US dollars; not checked for a model whose price is unknown."""
    tokens: int = Field(default=5_000_000, ge=1)
    """Input and output tokens of all model calls."""
    turns: int = Field(default=400, ge=1)
    """Model calls."""


class DeployPolicy(_Table):
    """`[deploy]`: where an approved change runs."""

    target: Literal["process"] = "process"
    """`process`: a local service, candidate beside current."""
    start: str = ""
    """Starts the service in the foreground on `{port}`."""
    health: str = "/"
    """Path that answers 2xx once the service is up."""
    port: int = Field(default=0, ge=0, le=65535)
    """The service's port; 0: a free one, chosen at the first release and kept."""
    start_timeout: Duration = timedelta(seconds=30)
    """How long a release may take until `health` answers."""
    environment: tuple[str, ...] = ()
    """Names of variables handed to the service besides PATH, HOME, LANG and PORT."""


class MetricPolicy(_Table):
    """`[[monitor.metrics]]`: one measurement, in Argo Rollouts' words.

    Source: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/
    """

    name: str
    source: Literal["probe"] = "probe"
    """`probe`: HTTP requests to the released service."""
    path: str = "/"
    """What the probe requests."""
    requests: int = Field(default=20, ge=1, le=1000)
    """Requests in one measurement."""
    request_timeout: Duration = timedelta(seconds=5)
    """How long one request may take; a later answer is an error."""
    interval: Duration = timedelta(seconds=2)
    """Time from one measurement's start to the next one's."""
    count: int = Field(default=5, ge=1)
    """Measurements in all."""
    initial_delay: Duration = timedelta(0)
    """Time before the first measurement."""
    success_condition: str = ""
    """An expression over the measured values that must hold, e.g. `p95_ms < 200`."""
    failure_condition: str = ""
    """An expression that must not hold, e.g. `error_rate > 0.05`."""
    failure_limit: int = Field(default=0, ge=0)
    """Failed measurements tolerated."""
    inconclusive_limit: int = Field(default=0, ge=0)
    """Inconclusive measurements tolerated."""
    consecutive_error_limit: int = Field(default=4, ge=0)
    """Errors in a row tolerated."""
    consecutive_success_limit: int = Field(default=0, ge=0)
    """Successes in a row that end the measuring early; 0: never."""


class MonitorPolicy(_Table):
    """`[monitor]`: what is measured after a release."""

    metrics: tuple[MetricPolicy, ...] = ()
    """Empty: one probe of the service's `health` path."""


class Policy(_Table):
    """The whole of `phasegate.toml`."""

    project: ProjectPolicy = ProjectPolicy()
    lifecycle: LifecyclePolicy = LifecyclePolicy()
    agents: AgentsPolicy = AgentsPolicy()
    gates: GatesPolicy = GatesPolicy()
    roles: dict[str, tuple[str, ...]] = {}
    """Role name to the people who have it."""
    identity: IdentityPolicy = IdentityPolicy()
    sandbox: SandboxPolicy = SandboxPolicy()
    protect: ProtectPolicy = ProtectPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    deploy: DeployPolicy = DeployPolicy()
    monitor: MonitorPolicy = MonitorPolicy()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if "deployment" in self.lifecycle.stages and not self.deploy.start:
            raise ValueError("deploy.start is needed because lifecycle.stages includes deployment")
        named = {role for gate in GATES for role in getattr(self.gates, gate).roles}
        if unknown := sorted(named - set(self.roles)):
            raise ValueError(f"gates name roles that [roles] does not have: {', '.join(unknown)}")
        return self

    @property
    def digest(self) -> str:
        """`sha256:…` of the policy's canonical JSON, defaults included."""
        return sha256(canonical_json(self.model_dump(mode="json")))
