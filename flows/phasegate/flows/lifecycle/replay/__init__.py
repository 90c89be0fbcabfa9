"""Answers of an earlier run that a later one may use: adoption in a replay, all of them in a rehearsal."""
