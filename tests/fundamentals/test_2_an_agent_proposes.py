"""Read this second: what an agent may do. It reads and writes one folder, runs commands in a sandbox, and hands in a
typed draft; everything else is refused and told to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegate.agents.prd import AGENT, PrdDraft
from phasegate.agents.tools.tool_sets import WRITING
from phasegate.agents.tools.toolbox import Toolbox, ToolOutcome
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import open_sandbox


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    """An agent's tools over its folder; what policy protects may not be written."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "app.py").write_text("greeting = 'Hello'\n")
    sandbox = open_sandbox(SandboxPolicy(), tmp_path / "state")
    return Toolbox(folder, names=WRITING, sandbox=sandbox, draft=PrdDraft, protected=("phasegate.toml",))


async def call(toolbox: Toolbox, name: str, **args: Any) -> ToolOutcome:
    """Call a tool as the model would."""
    return await toolbox.call({"id": "1", "name": name, "args": args, "raw": ""})


async def test_it_reads_searches_and_edits(toolbox: Toolbox) -> None:
    assert (await call(toolbox, "list_files")).result["output"] == "app.py"
    assert (await call(toolbox, "search", pattern=r"gree\w+")).result["output"] == "app.py:1:greeting = 'Hello'"
    edited = await call(toolbox, "edit_file", path="app.py", old="Hello", new="Good day")
    assert (edited.result["failed"], edited.changed) == (False, True)
    assert "Good day" in (await call(toolbox, "read_file", path="app.py")).result["output"]


async def test_its_commands_run_in_the_sandbox(toolbox: Toolbox) -> None:
    outcome = await call(toolbox, "run", command="cat app.py; id -un >/dev/null; exit 3")
    assert outcome.result["output"].endswith("[exit code 3]")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", ".git/config", "phasegate.toml"])
async def test_it_writes_nowhere_else(toolbox: Toolbox, path: str) -> None:
    assert (await call(toolbox, "write_file", path=path, content="x")).result["failed"]


async def test_it_follows_no_link_out_of_its_folder(toolbox: Toolbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret")
    outcome = await call(toolbox, "read_file", path="link")
    assert (outcome.result["failed"], outcome.result["output"]) == (True, "link: outside the repository")


async def test_what_it_hands_in_has_a_type(toolbox: Toolbox) -> None:
    refused = await call(toolbox, "finish", title="No criteria", acceptance_criteria=[])
    assert refused.result["failed"]
    assert refused.finished is None
    accepted = await call(toolbox, "finish", title="One", acceptance_criteria=[{"id": "AC1", "statement": "it greets"}])
    assert accepted.finished is not None


def test_a_stage_gives_its_agent_a_part_of_the_tools_and_a_prompt() -> None:
    assert AGENT.tools == ("list_files", "read_file", "search")
    assert "acceptance_criteria" in AGENT.prompt
