"""Model of `phasegate.toml`, with a default for every key.

Read from the base commit, never from the change. The digest of a run's policy is stored with the run and bound
into every gate. It must not know who reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, Self, get_args

from pydantic import (
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from phasegate.infra.artifacts import canonical_json, sha256
from phasegate.infra.policy.base import ByteSize, Duration, GlobPattern, Path, PolicyModel, Problem
from phasegate.infra.policy.budgets import BudgetPolicy
from phasegate.infra.policy.commands import COMMANDS, CommandsPolicy
from phasegate.infra.policy.deploy import DeployPolicy, missing_keys, steps_problems
from phasegate.infra.policy.gates import GATES, GatesPolicy
from phasegate.infra.policy.monitor import MetricPolicy, MonitorPolicy
from phasegate.infra.policy.permissions import HostPattern, Permissions, PermissionsPolicy
from phasegate.infra.policy.retention import RetentionPolicy
from phasegate.infra.policy.services import ServicePolicy, VariableName, service_clashes

StageName = Literal["prd", "implementation", "testing", "deployment", "monitoring"]
STAGES: tuple[StageName, ...] = get_args(StageName)
POLICY_FILE = "phasegate.toml"


class ProjectPolicy(PolicyModel):
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
    """Services that the tests need beside them; docs/services.md."""
    integrate: Literal["merge", "none"] = "merge"
    """Way of an approved change to the base branch: `merge` locally, or `none`."""

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


class LifecyclePolicy(PolicyModel):
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


class StageAgentPolicy(PolicyModel):
    """`[agents.STAGE]`: what differs for one stage."""

    model: str = ""
    """`provider:model`; empty: the default of `[agents]`."""
    fallback: tuple[str, ...] | None = None
    """Models that take over in this stage; `[]` for none; without it those of `[agents]`."""


class AgentsPolicy(PolicyModel):
    """`[agents]`: which model answers, for all stages and for single ones."""

    model: str = "openai:gpt-5.3-codex"
    """`openai:NAME`, `anthropic:NAME` or `compatible:NAME`."""
    fallback: tuple[str, ...] = ()
    """Models that take over, in this order, when the one before is down, limited or refuses; docs/models.md."""
    prd: StageAgentPolicy = StageAgentPolicy()
    implementation: StageAgentPolicy = StageAgentPolicy()
    testing: StageAgentPolicy = StageAgentPolicy()
    deployment: StageAgentPolicy = StageAgentPolicy()
    monitoring: StageAgentPolicy = StageAgentPolicy()

    def model_for(self, stage: StageName) -> str:
        """The `provider:model` that works on a stage."""
        own: StageAgentPolicy = getattr(self, stage)
        return own.model or self.model

    def models_for(self, stage: StageName, chosen: str = "") -> tuple[str, ...]:
        """All models that may work on a stage: the first one, then its fallbacks.

        Args:
            stage: The stage.
            chosen: The requester's choice, in place of the policy's first one; empty for none.
        """
        own: StageAgentPolicy = getattr(self, stage)
        fallback = self.fallback if own.fallback is None else own.fallback
        return tuple(dict.fromkeys((chosen or self.model_for(stage), *fallback)))


class IdentityPolicy(PolicyModel):
    """`[identity]`: how phasegate knows who decides."""

    mode: Literal["local", "ssh"] = "local"
    """`local`: the operating-system user; `ssh`: whoever's key has signed the decision."""
    allowed_signers: str = ".github/allowed_signers"
    """With `ssh`: which key is whose, as ssh-keygen reads it; a path in the repository, read from the base commit."""


class SandboxPolicy(PolicyModel):
    """`[sandbox]`: what an agent-run command may reach."""

    backend: Literal["bubblewrap", "none"] = "bubblewrap"
    """`none` must be asked for by name and is shown on every gate page."""
    setup_network: bool = False
    """True if `project.setup` may reach every public host, through a proxy; tests never do."""
    network: tuple[HostPattern, ...] = ()
    """Hosts that agents' commands reach, through a proxy that lets nothing else pass, e.g. `example.org`. For setup, a
    host with its port may have a private address."""
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


class GradingPolicy(PolicyModel):
    """`[grading]`: how hard a change that passes its tests is looked at."""

    ablation_time: Duration = timedelta(minutes=1)
    """Wall clock for taking out each piece of a change alone, to see which no test guards; 0: not done."""
    flaky_reruns: int = Field(default=2, ge=0, le=10)
    """Further runs of the tests on the base commit, to find unstable ones, and when one fails on the change."""
    base: Literal["required", "warn"] = "required"
    """`required`: a run ends before any model call if the tests tell nothing on the base commit; `warn`: it continues,
    and the gate page says so."""
    coverage: bool = True
    """True if the tests are run once more to see which changed lines they run."""
    characterize: Literal["thin", "never"] = "thin"
    """`thin`: where base's own tests run little of what the PRD is about, an agent also pins what base does there;
    `never`: it does not."""
    characterize_below: float = Field(default=0.3, ge=0, le=1)
    """Share of the lines, run on base, below which tests are thin; measured for Python and JavaScript."""
    plain_process: bool = True
    """True to run tests once more in a plain process, without a test runner: a difference fails the grade."""
    served: bool = True
    """True to start base and candidate as `[deploy] start` says, and to send them the requests of the tests."""


class ProtectPolicy(PolicyModel):
    """`[protect]`: what an agent may not change."""

    paths: tuple[GlobPattern, ...] = (POLICY_FILE, ".github/**", ".gitlab-ci.yml")
    """Glob patterns, relative to the repository's root."""


class Policy(PolicyModel):
    """The whole of `phasegate.toml`."""

    project: ProjectPolicy = ProjectPolicy()
    lifecycle: LifecyclePolicy = LifecyclePolicy()
    agents: AgentsPolicy = AgentsPolicy()
    gates: GatesPolicy = GatesPolicy()
    roles: dict[str, tuple[str, ...]] = Field(default={})
    """Role name to the people who have it."""
    commands: CommandsPolicy = CommandsPolicy()
    identity: IdentityPolicy = IdentityPolicy()
    sandbox: SandboxPolicy = SandboxPolicy()
    permissions: PermissionsPolicy = PermissionsPolicy()
    grading: GradingPolicy = GradingPolicy()
    protect: ProtectPolicy = ProtectPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    deploy: DeployPolicy = DeployPolicy()
    monitor: MonitorPolicy = MonitorPolicy()
    retention: RetentionPolicy = RetentionPolicy()

    @property
    def authority_files(self) -> tuple[str, ...]:
        """Paths of the files that say who decides: this one, and the signers' where decisions are signed."""
        return (POLICY_FILE, self.identity.allowed_signers)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if problems := _cross_checks(self):
            text = "; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in problems)
            # the problems ride along, so that a caller that has the file's text can name each one's line
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "problems": problems})
        return self

    @property
    def metrics(self) -> tuple[MetricPolicy, ...]:
        """Metrics that are measured after a release: those named, or one probe of the service's health path."""
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
        """Permissions of a stage's agent: what it may use, write and run."""
        return self.permissions.for_stage(stage)

    def sandbox_for(self, stage: StageName) -> SandboxPolicy:
        """Policy of the sandbox for a stage's commands: what they may reach and use up."""
        return self.sandbox.model_copy(update=self.permissions.limits_for(stage))

    @property
    def digest(self) -> str:
        """`sha256:…` of the policy's canonical JSON, defaults included."""
        return sha256(canonical_json(self.model_dump(mode="json")))


def _cross_checks(policy: Policy) -> list[Problem]:
    """Find what holds for each table alone and not for all together; each problem names the key to change."""
    problems: list[Problem] = []
    if "deployment" in policy.lifecycle.stages:
        for path, advice in missing_keys(policy.deploy):
            message = (
                f"is needed, because lifecycle.stages includes deployment; {advice}, or end with "
                '`[lifecycle] stages = ["prd", "implementation", "testing"]`'
            )
            problems.append((("deploy", *path), message))
    probed = any(metric.source == "probe" for metric in policy.metrics)
    if (
        "monitoring" in policy.lifecycle.stages
        and policy.deploy.target == "kubernetes"
        and probed
        and not policy.deploy.url
    ):
        message = (
            "is needed, because lifecycle.stages includes monitoring: a probe that cannot reach the service would take "
            "a good release back; write where the engine reaches it, or end the stages with deployment"
        )
        problems.append((("deploy", "url"), message))
    problems += _unknown_roles(policy)
    problems += _shared_credentials(policy)
    names = [metric.name for metric in policy.monitor.metrics]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.append((("monitor", "metrics", index, "name"), f"another metric is called {name!r} too"))
    problems += steps_problems(policy.deploy, known=[metric.name for metric in policy.metrics])
    problems += _background_problems(policy)
    return problems


def _unknown_roles(policy: Policy) -> Iterator[Problem]:
    """Roles that a gate or a command names and `[roles]` does not have."""
    named: dict[Path, tuple[str, ...]] = {("gates", gate, "roles"): policy.gates.named(gate).roles for gate in GATES}
    named |= {("commands", command): policy.commands.roles_for(command) for command in COMMANDS}
    for path, roles in named.items():
        for index, role in enumerate(roles):
            if role not in policy.roles:
                yield (*path, index), f"[roles] has no {role!r}"


def _background_problems(policy: Policy) -> list[Problem]:
    known = [metric.name for metric in policy.metrics]
    path: Path = ("monitor", "background")
    if policy.monitor.background and not any(step.set_weight for step in policy.deploy.steps):
        return [(path, "is measured from the first `set_weight` on, and no step of deploy.steps has one")]
    return [
        ((*path, index), f"no metric is called {name!r}; known are {', '.join(known)}")
        for index, name in enumerate(policy.monitor.background)
        if name not in known
    ]


def _shared_credentials(policy: Policy) -> Iterator[Problem]:
    """Variables for the setup command alone that other commands are handed, too."""
    handed = dict.fromkeys(policy.sandbox.environment, "[sandbox]")
    for stage in policy.lifecycle.stages:
        handed |= dict.fromkeys(getattr(policy.permissions, stage).environment or (), f"[permissions.{stage}]")
    for index, name in enumerate(policy.project.setup_environment):
        if name in handed:
            message = f"{name} is for `setup` alone, but `environment` of {handed[name]} hands it to other commands"
            yield ("project", "setup_environment", index), message
