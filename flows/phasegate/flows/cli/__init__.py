"""The command line: the door for a person at a terminal and for scripts.

It reads the ledger, writes what a person wants into it, and wakes the engine; it never talks to Prefect and performs
no effect itself. Importing it must stay cheap (`phasegate --help` answers at once), so whatever is heavy is imported
by the command that needs it.
"""

from phasegate.flows.cli.entry_point import main

__all__ = ["main"]
