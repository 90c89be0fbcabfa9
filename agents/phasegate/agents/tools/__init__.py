"""Tools of the agents: one vocabulary for all stages, of which each stage gets a part.

phasegate's own process reads and writes files, inside the agent's folder only. Commands run in the sandbox.
"""

from phasegate.agents.tools.guardrails import Guardrails, Permission, PermissionRequest
from phasegate.agents.tools.toolbox import Toolbox, ToolOutcome

__all__ = ["Guardrails", "Permission", "PermissionRequest", "ToolOutcome", "Toolbox"]
