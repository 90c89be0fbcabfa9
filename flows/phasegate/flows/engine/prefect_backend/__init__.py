"""Prefect backend of the engine: its server, its flow runs, its states and the worker.

`executor` is the port by which a run executes its stages, flows and waits; the rest serves it. Nothing in here knows
the work of a stage.
"""
