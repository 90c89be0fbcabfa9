"""The world phasegate acts on: ledger, policy, workspace, sandbox, grading, tickets, targets, metrics.

The lowest floor. It knows nothing of agents, Prefect or LangGraph.
"""
