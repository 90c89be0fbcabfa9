"""The agent loop: steer → think → act → …, until the agent hands in its draft.

One LangGraph thread per stage attempt, checkpointed at every turn. The ledger keeps each model call as it was made, so
a crash repeats no finished turn: an answered call is read back, and the workspace is put where the last turn left it.
"""

import os

# Read by langgraph when it is imported: stored threads may then hold plain data only (CVE-2026-28277).
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

from phasegate.agents.loop.assignment import AgentRuntime, Assignment, CheckpointStore, FallbackModel
from phasegate.agents.loop.budget import Budget, Grant, NoBudget, RunBudget
from phasegate.agents.loop.fork import branch_thread
from phasegate.agents.loop.loop import run_agent
from phasegate.agents.loop.threads import Threads, open_threads

__all__ = [
    "AgentRuntime",
    "Assignment",
    "Budget",
    "CheckpointStore",
    "FallbackModel",
    "Grant",
    "NoBudget",
    "RunBudget",
    "Threads",
    "branch_thread",
    "open_threads",
    "run_agent",
]
