"""No sandbox: a command runs as the user, with limits, and with an environment made from the allow-list.

Made by `open_sandbox`. Policy must ask for it by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox.environment import allowed_environment, as_arguments
from phasegate.infra.sandbox.identity import Identity
from phasegate.infra.sandbox.port import OUTPUT_LIMIT, BuildCaches, CommandResult
from phasegate.infra.sandbox.process import Transcript, run_limited

_MARK = "PHASEGATE_COMMAND"


@dataclass(frozen=True)
class NoSandbox:
    """Limits and nothing else: commands read, write and connect as the user can."""

    name: ClassVar[str] = "none"
    policy: SandboxPolicy
    state_folder: Path

    async def run(
        self,
        command: str | Sequence[str],
        *,
        folder: Path,
        timeout: timedelta,  # noqa: ASYNC109 - the port's
        network: bool = False,
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
        writable: Sequence[Path] = (),
        output_limit: int = OUTPUT_LIMIT,
        inside: Path | None = None,
        beneath: Path | None = None,
        caches: BuildCaches | None = None,
        identity: Identity | None = None,
    ) -> CommandResult:
        """As the port says; `network`, `writable` and all after the limit of output change nothing here."""
        mark = secrets.token_hex(16)
        home = self.state_folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return await run_limited(
            as_arguments(command),
            policy=self.policy,
            folder=folder,
            environment=allowed_environment(self.policy.environment, home) | dict(environment or {}) | {_MARK: mark},
            seconds=timeout.total_seconds(),
            transcript=Transcript(output_limit, on_output),
            writable=writable,
            mark=f"{_MARK}={mark}",
        )
