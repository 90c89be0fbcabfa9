"""Failures of a tool, told to the model instead of a result."""

from __future__ import annotations


class ToolFailure(Exception):
    """The call did nothing; the message goes back to the model, which may try something else."""


class ToolDenied(ToolFailure):
    """The call reached outside the agent's bounds. The model is told, and the refusal is recorded."""
