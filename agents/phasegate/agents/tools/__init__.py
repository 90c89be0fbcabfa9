"""What an agent may do: one vocabulary for all stages, of which each stage is given a part.

Files are read and written by phasegate's own process, inside the agent's folder only; commands run in the sandbox.
"""

from phasegate.agents.tools.guardrails import Guardrails, Permission, PermissionRequest
from phasegate.agents.tools.toolbox import Toolbox, ToolOutcome

__all__ = ["Guardrails", "Permission", "PermissionRequest", "ToolOutcome", "Toolbox"]
