"""Context windows by model name. The loop compacts a thread before its window is full.

The defaults have no source and are set low: no provider's API tells how much a model takes. A caller that knows better
sets `Assignment.window`. With too low a figure, old outputs are left out early. With too high a figure, the provider
refuses the request.
"""

from __future__ import annotations

from phasegate.agents.models.names import ModelName, Provider

_INPUT_TOKENS: dict[Provider, int] = {"anthropic": 168_000, "openai": 272_000, "compatible": 96_000}
"""Windows taken to be 200,000, 400,000 and 128,000 tokens, less room for an answer."""


_OUTPUT_TOKENS: dict[Provider, int] = {"anthropic": 32_000, "openai": 128_000, "compatible": 32_000}


def output_tokens(name: ModelName) -> int:
    """The most tokens of one answer of a model, as far as they are known."""
    return _OUTPUT_TOKENS[name.provider]


def input_tokens(name: ModelName) -> int:
    """Tokens of input that a model takes, with room left for its own answer."""
    return _INPUT_TOKENS[name.provider]
