"""Checks of what a run needs on this machine, for `doctor`.

No check changes anything. A check that fails names its remedy.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from phasegate.agents.models.keys import KEY_VARIABLES, credentials
from phasegate.agents.models.names import ModelName
from phasegate.flows.cli.actions.engine_keys import missing_keys
from phasegate.flows.engine import control
from phasegate.flows.runs.base_policy import read_policy
from phasegate.infra.deploy.process.proxy.haproxy import find as find_haproxy
from phasegate.infra.errors import ConfigError, SandboxMissing, TargetRefused
from phasegate.infra.policy.detect.programs import missing_programs
from phasegate.infra.policy.model import POLICY_FILE, Policy
from phasegate.infra.sandbox import check, service_programs
from phasegate.infra.sandbox.overlay import copies_share_blocks, overlay_problem
from phasegate.infra.settings import Settings
from phasegate.infra.workspace import Repository

Outcome = Literal["ok", "warning", "failed"]
GIT_NEEDED = (2, 38)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: The thing that was checked.
        outcome: `warning`: runs may be possible all the same.
        detail: The finding.
        remedy: The action for a person; empty if the check holds.
    """

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class CheckContext:
    """Input of the checks."""

    settings: Settings
    environment: Mapping[str, str]
    folder: Path


def run_checks(context: CheckContext) -> Iterator[CheckResult]:
    """Run every check, in the order in which a run would fail."""
    policy, about_policy = _policy(context)
    yield _git()
    yield _state_folder(context)
    yield _sandbox(context, policy or Policy.model_construct())
    yield _pytest()
    yield from _checkouts(context, policy or Policy.model_construct())
    yield about_policy
    yield from _start_command(policy)
    yield from _programs(context, policy)
    yield from _proxy(context, policy)
    yield from _services(context, policy)
    yield from _setup_variables(context, policy)
    yield from _model_keys(context, policy)
    yield from _engine(context)
    yield _port()


def _git() -> CheckResult:
    try:
        version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return CheckResult("git", "failed", "git cannot be run", "Install git (Debian: apt-get install git).")
    match = re.search(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < GIT_NEEDED:
        return CheckResult("git", "failed", version, f"Install git {'.'.join(map(str, GIT_NEEDED))} or newer.")
    return CheckResult("git", "ok", version)


def _sandbox(context: CheckContext, policy: Policy) -> CheckResult:
    try:
        detail = check(policy.sandbox, context.settings.home)
    except SandboxMissing as error:
        return CheckResult("sandbox", "failed", error.message, error.remedy)
    if policy.sandbox.backend == "none":
        return CheckResult("sandbox", "warning", detail, 'Set `[sandbox] backend = "bubblewrap"` in phasegate.toml.')
    return CheckResult("sandbox", "ok", detail)


def _pytest() -> CheckResult:
    if find_spec("pytest") is None:
        remedy = "Install pytest beside phasegate, or name the project's own runner in `project.test`."
        return CheckResult("pytest", "warning", "the default test runner is missing", remedy)
    return CheckResult("pytest", "ok", f"pytest {metadata.version('pytest')}")


def _state_folder(context: CheckContext) -> CheckResult:
    home = context.settings.home
    try:
        context.settings.create_folders()
        with tempfile.TemporaryFile(dir=home):
            return CheckResult("state folder", "ok", str(home))
    except ConfigError as error:
        return CheckResult("state folder", "failed", error.message, error.remedy)
    except OSError as error:
        return CheckResult(
            "state folder",
            "failed",
            f"{home} cannot be written: {error.strerror}",
            "Name a folder you can write to in PHASEGATE_HOME.",
        )


def _checkouts(context: CheckContext, policy: Policy) -> Iterator[CheckResult]:
    """Check how grading puts the files of setup, and those compiled on base, under each of its checkouts."""
    name, home = "grading's checkouts", context.settings.home
    if policy.sandbox.backend == "none":
        yield CheckResult(name, "ok", "what setup leaves is copied into each: without a sandbox nothing is mounted")
        return
    try:
        problem = overlay_problem(home)
        is_cheap = bool(problem) and copies_share_blocks(home)
    except OSError:  # the check of the state folder tells
        return
    if not problem:
        yield CheckResult(name, "ok", "what setup leaves is mounted beneath each, read-only (overlay)")
    elif is_cheap:
        yield CheckResult(name, "ok", f"what setup leaves is copied into each, sharing blocks: {problem}")
    else:
        remedy = (
            "Grades cost more so. Run the engine as root in a container of its own, or set PHASEGATE_HOME "
            "to a folder on a file system whose copies share blocks (Btrfs, XFS)."
        )
        yield CheckResult(name, "warning", f"what setup leaves is copied into each, byte by byte: {problem}", remedy)


def _policy(context: CheckContext) -> tuple[Policy | None, CheckResult]:
    """The policy a run started here would follow: `kick_off` reads it the same way."""
    name = "policy"
    try:
        repository = Repository.open(context.folder)
        repository.base()
    except ConfigError as error:
        return None, CheckResult(name, "warning", error.message, error.remedy)
    try:
        base, policy, notices = read_policy(repository)
    except ConfigError as error:
        return None, CheckResult(name, "failed", error.message, error.remedy)
    if notices:
        return policy, CheckResult(name, "warning", " ".join(notices), f"Commit {POLICY_FILE} on {base.branch}.")
    branch = repository.branch_with(base.branch, base.commit)
    return policy, CheckResult(name, "ok", f"{POLICY_FILE} at commit {base.commit[:12]} of {branch}")


def _start_command(policy: Policy | None) -> Iterator[CheckResult]:
    """Warn of a service that may listen on another port than the one it is given."""
    start = policy.deploy.start if policy and "deployment" in policy.lifecycle.stages else ""
    if policy and start and policy.deploy.target == "process" and "{port}" not in start and "PORT" not in start:
        detail = f"`{start}` has no {{port}}: the service must read its port from the variable PORT"
        remedy = "Write {port} where the command names its port, if it does not read PORT."
        yield CheckResult("start command", "warning", detail, remedy)


def _programs(context: CheckContext, policy: Policy | None) -> Iterator[CheckResult]:
    """Look for every program that the policy's commands start, where the sandbox will look for it."""
    if policy is None:
        return
    commands = (policy.project.setup, policy.project.test, policy.deploy.start)
    path = os.pathsep.join([context.environment.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    for name in missing_programs(commands, path):
        remedy = f"Install {name}, or name another program in phasegate.toml."
        yield CheckResult(f"program {name}", "failed", f"{name} is not on PATH; phasegate.toml names it", remedy)


def _proxy(context: CheckContext, policy: Policy | None) -> Iterator[CheckResult]:
    """Check of the program that puts releases behind a proxy, where policy wants one."""
    if policy is None or policy.deploy.target != "process" or policy.deploy.strategy != "canary":
        return
    try:
        yield CheckResult("front", "ok", find_haproxy(context.environment.get("PATH", os.defpath)))
    except TargetRefused as error:
        yield CheckResult("front", "failed", error.message, error.remedy)


def _services(context: CheckContext, policy: Policy | None) -> Iterator[CheckResult]:
    """The programs of the services that tests need, where phasegate starts them itself."""
    path = context.environment.get("PATH", os.defpath)
    for service, version, package in service_programs(policy.project.services if policy else (), path):
        name = f"service {service.name}"
        remedy = f"Install {service.kind} on the engine's machine (Debian: apt-get install {package})."
        if version:
            yield CheckResult(name, "ok", f"{service.kind}: {version}")
        else:
            yield CheckResult(name, "failed", f"{service.kind} is not installed here", remedy)


def _setup_variables(context: CheckContext, policy: Policy | None) -> Iterator[CheckResult]:
    """The variables that only the setup command is handed, as far as this environment and the engine's can tell."""
    named = policy.project.setup_environment if policy else ()
    engine = control.status(context.settings) if named else None
    for variable in named:
        if engine and engine.variables and variable not in engine.variables:
            remedy = "Start it anew: `phasegate down`, then `phasegate up --detach`."
            yield CheckResult("setup's variables", "failed", f"the engine was started without {variable}", remedy)
        elif context.environment.get(variable):
            yield CheckResult("setup's variables", "ok", f"{variable} is set")
        else:
            remedy = f"Set {variable} where the engine is started, or take it out of `project.setup_environment`."
            yield CheckResult(
                "setup's variables", "failed", f"{variable} is not set, and `project.setup` needs it", remedy
            )


def _model_keys(context: CheckContext, policy: Policy | None) -> Iterator[CheckResult]:
    models = (
        {}
        if policy is None
        else {
            ModelName.parse(model).provider: model
            for stage in reversed(policy.lifecycle.stages)
            for model in reversed(policy.agents.models_for(stage))
        }
    )
    for provider, variable in KEY_VARIABLES.items():
        model = models.get(provider)
        try:
            credentials(ModelName.parse(model or f"{provider}:any"), context.environment)
        except ConfigError as error:
            outcome: Outcome = "failed" if model else "warning"
            if not model and models:
                continue
            why = f"{error.message} Policy wants {model}." if model else f"{variable} is not set"
            yield CheckResult(f"key of {provider}", outcome, why, error.remedy)
        else:
            yield CheckResult(f"key of {provider}", "ok", f"{variable} is set")


def _engine(context: CheckContext) -> Iterator[CheckResult]:
    info = control.status(context.settings)
    if info is None:
        yield CheckResult("engine", "ok", "none is up; `phasegate run` starts one")
        return
    yield CheckResult("engine", "ok", f"up since {info.started_at} (pid {info.process.pid}), {info.ui_url}")
    for alteration in info.alterations:
        remedy = "End browser sessions with `phasegate down` if you do not know who it was."
        yield CheckResult("Prefect", "warning", f"altered, at {alteration}", remedy)
    if missing := missing_keys(info, context.environment):
        remedy = "Start it anew: `phasegate down`, then `phasegate up --detach`."
        yield CheckResult("engine's keys", "failed", f"the engine was started without {', '.join(missing)}", remedy)


def _port() -> CheckResult:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return CheckResult("free port", "ok", f"for example {server.getsockname()[1]} on 127.0.0.1")
    except OSError as error:
        return CheckResult(
            "free port", "failed", f"none on 127.0.0.1: {error.strerror}", "Bring the loopback device up."
        )
