"""Gates of a run: opening one, waiting for people, and the questions that an agent raises."""
