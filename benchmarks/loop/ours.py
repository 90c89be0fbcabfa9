"""phasegate's loop as it runs in a stage: real client, LangGraph thread, ledger, tools.

`python -m benchmarks.loop.ours URL TURNS FOLDER`; started by `benchmarks.loop.measure`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import ClassVar

import httpx

from phasegate.agents.implementation import AGENT, ChangeDraft
from phasegate.agents.loop import AgentRuntime, Assignment, RunBudget, open_threads, run_agent
from phasegate.agents.loop.interrupts import WakeSignal, no_signal
from phasegate.agents.models.client import open_client
from phasegate.agents.models.names import ModelName
from phasegate.agents.tools.guardrails import Guardrails
from phasegate.agents.tools.toolbox import Toolbox
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Ledger, RunOptions
from phasegate.infra.policy.budgets import BudgetPolicy
from phasegate.infra.policy.model import Policy, SandboxPolicy
from phasegate.infra.sandbox import open_sandbox

_MODEL = "compatible:loopback"


class _Paper(Artifact):
    """Stands for ticket and policy."""

    kind: ClassVar[str] = "paper"


def open_ledger(folder: Path) -> Ledger:
    """A ledger with one accepted run in an engine's hands."""
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    ledger.runs.accept(
        "run-one",
        title="t",
        ticket=_Paper(),
        policy=StoredPolicy(policy=Policy.model_validate({"lifecycle": {"stages": ["prd"]}})),
        repository=str(folder),
        base_branch="main",
        base_commit="0" * 40,
        requester="bench",
        options=RunOptions(),
        definition="1",
    )
    return ledger.fenced(ledger.leases.take("run-one", "here/1"))


async def main(url: str, turns: int, folder: Path, signal: WakeSignal = no_signal) -> None:
    """Work through one trajectory."""
    ledger = open_ledger(folder)
    attempt, _ = ledger.attempts.begin(
        "run-one", "implementation", "", 1, inputs={}, model=_MODEL, prompt=AGENT.prompt_digest, holder="here/1"
    )
    toolbox = Toolbox(
        folder / "work",
        names=AGENT.tools,
        sandbox=open_sandbox(SandboxPolicy(backend="none"), folder / "state"),
        draft=ChangeDraft,
    )
    async with open_threads(folder / "threads.db") as threads, httpx.AsyncClient() as http:
        redact = Guardrails().masked_answer
        client = open_client(ModelName.parse(_MODEL), base_url=url, key="k", http=http, redact=redact)
        assignment = Assignment(
            *(attempt, AGENT.prompt, "Read the notes.", ChangeDraft, toolbox, client),
            window=10**9,  # nothing is left out of a request: the peers leave nothing out either
        )
        budget = RunBudget(ledger, BudgetPolicy(turns=turns + 1, tokens=10**12))
        runtime = AgentRuntime(ledger, threads, budget, lambda: ledger.commands.request("run-one") == "pause", signal)
        assert await run_agent(assignment, runtime) == ChangeDraft(summary="done")
    ledger.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
