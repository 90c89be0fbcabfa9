"""Lifecycle from a ticket to a watched release. Open `pipeline` first: it is the whole of it, in stage order.

`lifecycle` is the Prefect flow around it. `runner` begins, pauses and ends a run. `attempts` tries a stage at most
once, `gates` asks a person, `stages` has the work of each stage, and `saga` makes and undoes effects on the world.
"""

from phasegate.flows.lifecycle.pipeline import lifecycle

__all__ = ["lifecycle"]
