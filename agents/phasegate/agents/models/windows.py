"""How much a model can be sent. The loop makes room before it is full; it asks here by name.

Source: the providers' model pages, as those of `prices.toml`; the least that any listed model of a provider takes.
"""

from __future__ import annotations

from phasegate.agents.models.names import ModelName, Provider

_INPUT_TOKENS: dict[Provider, int] = {"anthropic": 168_000, "openai": 272_000, "compatible": 96_000}
"""Windows of 200,000 less 32,000 of output, 400,000 less 128,000, and 128,000 less 32,000, which many servers allow."""


def input_tokens(name: ModelName) -> int:
    """Tokens of input that a model takes, its own answer left room for."""
    return _INPUT_TOKENS[name.provider]
