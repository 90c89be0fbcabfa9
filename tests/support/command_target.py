"""Target `command` with the commands of `ops.py`."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from phasegate.infra.deploy.command.target import CommandTarget
from phasegate.infra.policy.deploy import DeployCommandsPolicy, DeployPolicy

OPS = f"{sys.executable} {Path(__file__).with_name('ops.py')}"
NAMES = ("deploy", "weight", "promote", "rollback", "status", "stop")


def command_target(folder: Path, *, limit: timedelta = timedelta(seconds=20), **commands: str) -> CommandTarget:
    """A service whose world is a file below a folder; some commands may be others."""
    base = folder / "base"
    base.mkdir(exist_ok=True)

    async def files() -> Path:
        return base

    def checkout(commit: str, source: Path) -> None:
        source.mkdir()
        (source / "commit").write_text(commit)

    return CommandTarget(
        DeployPolicy(
            target="command",
            commands=DeployCommandsPolicy(**{**dict.fromkeys(NAMES, OPS), **commands}),
            environment=("WORLD",),
            rollout_timeout=limit,
        ),
        service="shop",
        state_folder=folder,
        checkout=checkout,
        environment={"PATH": "/usr/bin:/bin", "WORLD": str(folder / "world.json"), "OPENAI_API_KEY": "hunter2"},
        files=files,
    )


def calls(folder: Path) -> list[dict[str, Any]]:
    """Inputs of the commands, in order, without those of `status`."""
    told = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return [one for one in told if one["action"] != "status"]
