"""Agents that propose: the loop, its tools, the model clients, rehearsal, and one package per stage.

The middle floor: it may use `phasegate.infra`, and is the only one that knows LangGraph. An agent returns a
typed draft; it never performs an effect and never opens a gate.
"""
