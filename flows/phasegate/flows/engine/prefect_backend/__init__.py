"""Everything in the engine that knows Prefect: its server, its flow runs, its states and the worker.

`executor` is what a run asks to execute its stages, flows and waits; the rest serves it. Nothing in here knows what a
stage does.
"""
