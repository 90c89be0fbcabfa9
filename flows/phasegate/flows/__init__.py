"""Orchestration: the lifecycle, its gates, rollback, the engine, and the doors people use.

The top floor, the only one that knows Prefect. Start reading at `phasegate.flows.lifecycle`. Nothing heavy is
imported here: the command line must answer `--help` at once.
"""
