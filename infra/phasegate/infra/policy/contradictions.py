"""What holds for each table of a policy alone, and not for all of them together.

Asked by the policy's model, once every key holds. Each problem names the key to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.infra.policy.base import Path, Problem
from phasegate.infra.policy.steps import steps_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phasegate.infra.policy.model import DeployPolicy, Policy


def contradictions(policy: Policy) -> list[Problem]:
    """What holds for each table alone and not for all together, with the path of the key to change."""
    problems: list[Problem] = []
    if "deployment" in policy.lifecycle.stages:
        for path, advice in _lacks(policy.deploy):
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
    for gate in type(policy.gates).model_fields:
        for index, role in enumerate(getattr(policy.gates, gate).roles):
            if role not in policy.roles:
                problems.append((("gates", gate, "roles", index), f"[roles] has no {role!r}"))
    problems += _shared_credentials(policy)
    names = [metric.name for metric in policy.monitor.metrics]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.append((("monitor", "metrics", index, "name"), f"another metric is called {name!r} too"))
    problems += steps_problems(policy.deploy, known=[metric.name for metric in policy.metrics])
    problems += _background_problems(policy)
    return problems


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


def _lacks(deploy: DeployPolicy) -> list[tuple[tuple[str, ...], str]]:
    """The keys that a target cannot do without, and what to do about each."""
    if deploy.target == "process" and not deploy.start:
        return [(("start",), "write the command that starts the service on {port}")]
    if deploy.target == "kubernetes" and not deploy.manifests:
        return [(("manifests",), "name the folder or built file that is to be applied")]
    if deploy.target == "command":
        needed = ("deploy", "promote", "rollback", "status")
        return [(("commands", key), "write that command") for key in needed if not getattr(deploy.commands, key)]
    return []
