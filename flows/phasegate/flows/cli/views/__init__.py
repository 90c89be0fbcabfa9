"""Views of runs for a terminal: pages, tables, diffs and events as text or JSON."""
