"""Sandboxes: commands run in them without having to be trusted.

Called by the agents' `run` tool and by grading. It must not know what a command is for.
"""

from phasegate.infra.sandbox.open import check, open_sandbox
from phasegate.infra.sandbox.port import CommandResult, Sandbox
from phasegate.infra.sandbox.services import run_with_services, service_programs
from phasegate.infra.sandbox.setup import run_setup

__all__ = ["CommandResult", "Sandbox", "check", "open_sandbox", "run_setup", "run_with_services", "service_programs"]
