"""What a tool tells the model when it cannot do what was asked."""

from __future__ import annotations


class ToolFailure(Exception):
    """The call did nothing; the message goes back to the model, which may try something else."""


class ToolDenied(ToolFailure):
    """The call reached for what is not the agent's; besides the answer to the model it goes on record."""
