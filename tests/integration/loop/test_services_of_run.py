"""The agents' `run` beside the project's services."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from phasegate.agents.prd import PrdDraft
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.policy.services import ServicePolicy
from phasegate.infra.sandbox import open_sandbox

FILES = ServicePolicy(
    name="files", kind="command", start="touch {checkout}/started; exec python3 -m http.server {port} --bind 127.0.0.1"
)


@dataclass(frozen=True)
class Case:
    command: str
    start: str
    starts: bool
    said: str


CASES = [
    Case('python3 -c "import os; print(os.environ["\'"FILES_URL"\'"])"', FILES.start, True, "http://127.0.0.1:"),
    Case("ls . && cat notes | head -1", FILES.start, False, "[exit code 0]"),
    Case("ls $(make list)", FILES.start, True, "exit code"),
    Case("make test", "echo no disk; exit 2; : {port}", False, "no disk"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command)
async def test_services_are_started_for_what_may_need_them(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (root / "notes").touch()
    service = FILES.model_copy(update={"start": case.start})
    sandbox = open_sandbox(SandboxPolicy(), tmp_path / "state")
    toolbox = Toolbox(root, names=("run",), sandbox=sandbox, draft=PrdDraft, services=(service,))
    outcome = await toolbox.call({"id": "1", "name": "run", "args": {"command": case.command}, "raw": ""})
    assert case.said in outcome.result["output"]
    assert (root / "started").exists() is case.starts
