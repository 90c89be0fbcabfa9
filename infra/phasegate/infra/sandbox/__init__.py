"""Where commands that nobody has to trust are run.

Called by the agents' `run` tool and by grading. It must not know what a command is for.
"""

from phasegate.infra.sandbox.open import check, open_sandbox
from phasegate.infra.sandbox.port import CommandResult, Sandbox

__all__ = ["CommandResult", "Sandbox", "check", "open_sandbox"]
