"""Source of a run: the world, or the record of an earlier run. `RunContext.source` chooses once."""
