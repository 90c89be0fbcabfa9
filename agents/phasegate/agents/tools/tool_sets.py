"""Names of the tools that each kind of agent has. Apart from the tools, which a page of a run does not need."""

from __future__ import annotations

READING = ("list_files", "read_file", "search")
WRITING = (*READING, "write_file", "edit_file", "run")
ASKING = (*READING, "query")
