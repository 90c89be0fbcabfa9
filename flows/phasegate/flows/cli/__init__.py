"""Command line: the door for a person at a terminal and for scripts.

It reads the ledger, writes a person's requests into it, and wakes the engine. It never talks to Prefect and performs no
effect itself. Importing it must stay cheap (`phasegate --help` answers at once), so each command imports its heavy
modules itself.
"""

from phasegate.flows.cli.entry_point import main

__all__ = ["main"]
