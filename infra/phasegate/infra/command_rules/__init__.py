"""Rules on an agent's command before it is run, and signs of what it tried while it ran.

Called by the agents' tools. `shell` reads a command line as the shell would, `programs` finds what it starts, `rules`
holds that against policy, and
`signs` finds attempts to reach what no agent needs. Nothing here runs anything.
"""

from phasegate.infra.command_rules.programs import only_reads
from phasegate.infra.command_rules.rules import Ruling, asked_about, rule_on
from phasegate.infra.command_rules.shell_words import LONGEST_COMMAND
from phasegate.infra.command_rules.signs import Sign, signs_in

__all__ = ["LONGEST_COMMAND", "Ruling", "Sign", "asked_about", "only_reads", "rule_on", "signs_in"]
