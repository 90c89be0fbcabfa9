"""Effects of a run on the world, and how each is undone: the saga, traffic shifts, database migrations."""
