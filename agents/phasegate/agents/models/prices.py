"""Cost of an exchange, from a dated table that ships with the package.

Flows and the agent loop ask after every exchange and before the next one (budgets). A model without a row has no price,
and no price is guessed. The figures and their sources are in `prices.toml`.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

from phasegate.agents.models.conversation import TokenUsage
from phasegate.agents.models.names import ModelName, Provider
from phasegate.infra.described import DescribedModel

_SNAPSHOT = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
"""The date providers put after a model's name when they mean one snapshot of it."""


class LongContext(BaseModel):
    """Factors for a request whose input is long; they apply to the whole request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above_input_tokens: int
    input_factor: float
    output_factor: float


class Price(DescribedModel):
    """List price of a model, in USD per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Provider
    model: str
    input: float
    cached_input: float
    """Input read from the prompt cache."""
    cache_write: float
    """Input written to the prompt cache."""
    output: float
    long_context: LongContext | None = None
    source: str
    read_on: date
    """The day on which the source was read."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price: tuple[Price, ...]


@cache
def prices() -> dict[tuple[Provider, str], Price]:
    """All known prices, by provider and model."""
    text = resources.files("phasegate.agents.models").joinpath("prices.toml").read_text("utf-8")
    return {(row.provider, row.model): row for row in _Table.model_validate(tomllib.loads(text)).price}


def cost_usd(model: ModelName | str, usage: TokenUsage) -> float | None:
    """The list price of one exchange.

    Args:
        model: `provider:model`; its name may end in a snapshot's date.
        usage: The tokens of that one exchange (a long input changes the price of the exchange it is in).

    Returns:
        USD, or None when the price is not known.

    Raises:
        UsageError: `model` is a text that names no model.
    """
    name = ModelName.parse(model) if isinstance(model, str) else model
    price = prices().get((name.provider, name.model)) or prices().get((name.provider, _SNAPSHOT.sub("", name.model)))
    if price is None:
        return None
    plain_tokens = max(usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens, 0)
    input_cost = (
        plain_tokens * price.input
        + usage.cached_input_tokens * price.cached_input
        + usage.cache_write_tokens * price.cache_write
    )
    output_cost = usage.output_tokens * price.output
    if price.long_context is not None and usage.input_tokens > price.long_context.above_input_tokens:
        input_cost *= price.long_context.input_factor
        output_cost *= price.long_context.output_factor
    return (input_cost + output_cost) / 1_000_000
