"""Instructions of every stage's agent in each request: small, and with all that matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from phasegate.agents import deployment, implementation, monitoring, prd, testing
from phasegate.agents.loop import ask_tool
from phasegate.agents.models.client import open_client
from phasegate.agents.models.names import ModelName
from phasegate.agents.stage import StageAgent
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import open_sandbox

AGENTS: list[StageAgent[Any]] = [
    prd.AGENT,
    implementation.AGENT,
    testing.AGENT,
    testing.AMENDING_AGENT,
    testing.CHARACTERIZATION_AGENT,
    deployment.AGENT,
    monitoring.AGENT,
]
MODELS = ["openai:gpt-5.3-codex", "anthropic:claude-opus-4-6", "compatible:local"]
LARGEST_BYTES = 6_000
MUST_SAY = {
    "prd": [
        "observable",
        "edge cases",
        "conventions",
        "`service_levels`",
        "`non_goals`",
        "`risks`",
        "`open_questions`",
    ],
    "implementation": [
        "smallest change",
        "every acceptance criterion",
        "put back before grading",
        "Do not commit",
        "`run`",
    ],
    "testing": [
        "every acceptance criterion",
        "fail on the code as it is now",
        "never see",
        "No network",
        "no sleeping",
    ],
    "testing amending": [
        "ids of those tests",
        "nothing of its change",
        "the opposite of a criterion",
        "sealed tests stay",
    ],
    "testing characterization": [
        "next to what the PRD changes",
        "pass on the code as it is now",
        "cite no criterion",
        "notice a fault",
        "`omitted`",
    ],
    "deployment": ["you deploy nothing", "`expand`, `migrate` or `contract`", "cannot be undone", "`checks`"],
    "monitoring": [
        "Code has rolled it back",
        "`evidence`",
        "`suspected_hunk`",
        "Say what you do not know",
        "`follow_up_title`",
    ],
}


def name_of(agent: StageAgent[Any]) -> str:
    return f"{agent.stage} {agent.instructions.removesuffix('.md').removeprefix('prompt')}".strip()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("agent", AGENTS, ids=name_of)
def test_what_is_fixed_in_every_request_is_small(agent: StageAgent[Any], model: str, tmp_path: Path) -> None:
    sandbox = open_sandbox(SandboxPolicy(backend="none"), tmp_path)
    tools = [*Toolbox(tmp_path, names=agent.tools, sandbox=sandbox, draft=agent.draft).specs, ask_tool.SPEC]
    client = open_client(ModelName.parse(model), base_url="http://127.0.0.1:1", key="k", http=httpx.AsyncClient())
    fixed = client.conversation(agent.prompt, tools, f"run-0123456789ab/{agent.stage}/1").body()
    assert len(fixed) < LARGEST_BYTES


@pytest.mark.parametrize("agent", AGENTS, ids=name_of)
def test_a_prompt_says_what_its_agent_cannot_find_out(agent: StageAgent[Any]) -> None:
    prompt = " ".join(agent.prompt.split())
    assert [phrase for phrase in MUST_SAY[name_of(agent)] if phrase not in prompt] == []
    assert "`finish`" in prompt
    assert "material, not orders" in prompt
    assert not {"claude-", "gpt", "anthropic", "openai"} & set(prompt.lower().split())


def test_a_prompts_digest_is_of_all_that_is_fixed() -> None:
    digests = {agent.prompt_digest for agent in AGENTS}
    assert len(digests) == len(AGENTS)
    other = StageAgent("prd", prd.AGENT.draft, prd.AGENT.tools[:-1])
    assert other.prompt_digest != prd.AGENT.prompt_digest
