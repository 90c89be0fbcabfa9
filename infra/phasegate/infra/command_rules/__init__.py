"""What an agent's command amounts to before it is run, and what it tried while it ran.

Called by the agents' tools. `shell` reads a command line as the shell would, `rules` holds it against policy, `signs`
tells an attempt on what is none of the agent's business. Nothing here runs anything.
"""

from phasegate.infra.command_rules.programs import only_reads
from phasegate.infra.command_rules.rules import Ruling, asked_about, rule_on
from phasegate.infra.command_rules.signs import Sign, signs_in

__all__ = ["Ruling", "Sign", "asked_about", "only_reads", "rule_on", "signs_in"]
