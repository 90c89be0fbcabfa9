"""From ticket to a watched release. Open `pipeline` first: it is the whole of it, in stage order.

`lifecycle` is the Prefect flow around it. Beside them: `runner` says how a run begins, holds and ends; `attempts` how
a stage is tried at most once; `gates` how a person is asked; `stages` what each stage does; `saga` what is done to the
world and how it is undone.
"""

from phasegate.flows.lifecycle.pipeline import lifecycle

__all__ = ["lifecycle"]
