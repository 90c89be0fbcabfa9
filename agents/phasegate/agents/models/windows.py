"""How much a model can be sent. The loop makes room before it is full; it asks here by name.

Unsourced defaults, set low: no provider tells by its API how much a model takes. Whoever knows better says so in
`Assignment.window`. Too low a figure leaves old outputs out early; too high a one has the provider refuse the request.
"""

from __future__ import annotations

from phasegate.agents.models.names import ModelName, Provider

_INPUT_TOKENS: dict[Provider, int] = {"anthropic": 168_000, "openai": 272_000, "compatible": 96_000}
"""Windows taken to be 200,000, 400,000 and 128,000 tokens, less room for an answer."""


_OUTPUT_TOKENS: dict[Provider, int] = {"anthropic": 32_000, "openai": 128_000, "compatible": 32_000}


def output_tokens(name: ModelName) -> int:
    """Tokens that one answer of a model takes at most, as far as it is known."""
    return _OUTPUT_TOKENS[name.provider]


def input_tokens(name: ModelName) -> int:
    """Tokens of input that a model takes, its own answer left room for."""
    return _INPUT_TOKENS[name.provider]
