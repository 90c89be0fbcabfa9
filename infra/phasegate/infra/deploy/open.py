"""The deploy target that a policy names. Opened by a run under way, and by `phasegate status`, which only looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from phasegate.infra.deploy.process.services import service_name
from phasegate.infra.deploy.sources import no_files, nothing
from phasegate.infra.deploy.target import DeployTarget
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.settings import Settings
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import clone


def open_target(
    deploy: DeployPolicy,
    repository: Path,
    settings: Settings,
    environment: Mapping[str, str],
    *,
    files: Callable[[], Awaitable[Path]] = no_files,
    prepare: Callable[[Path], Awaitable[None]] = nothing,
    needed: Callable[[], Collection[str]] = frozenset,
) -> DeployTarget:
    """Open the target of a repository's service; nothing of it is reached before it is needed.

    Args:
        deploy: `[deploy]`.
        repository: Whose service it is; opened where files of a commit are needed.
        settings: Where state is kept.
        environment: The engine's.
        files: Gives a folder with the files of the commit a run began at; needed by a team's commands.
        prepare: Sets a fresh checkout up, once.
        needed: The releases whose files have to stay, besides the current one and the one before it.
    """
    service = service_name(repository)

    def checkout(commit: str, folder: Path) -> None:
        clone(Repository.open(repository), commit, folder)  # with HEAD and tags, as it was graded

    # A policy has one target, and the client of another costs a command as much as its own work.
    if deploy.target == "kubernetes":
        from phasegate.infra.deploy.kubernetes.api.manifests import is_below  # noqa: PLC0415 -- see above
        from phasegate.infra.deploy.kubernetes.target import KubernetesTarget  # noqa: PLC0415 -- see above

        def manifests(commit: str, folder: Path) -> None:
            Repository.open(repository).export(commit, folder, only=partial(is_below, deploy.manifests))

        return KubernetesTarget(
            deploy,
            service=service,
            scratch=settings.scratch,
            state_folder=settings.home,
            checkout=manifests,
            environment=environment,
        )
    if deploy.target == "command":
        from phasegate.infra.deploy.command.target import CommandTarget  # noqa: PLC0415 -- see above

        return CommandTarget(
            deploy,
            service=service,
            state_folder=settings.home,
            checkout=checkout,
            environment=environment,
            files=files,
            prepare=prepare,
        )
    from phasegate.infra.deploy.process.target import ProcessTarget  # noqa: PLC0415 -- see above

    return ProcessTarget(
        deploy,
        service=service,
        state_folder=settings.home,
        checkout=checkout,
        environment=environment,
        prepare=prepare,
        needed=needed,
    )
