"""Cost of an exchange, where its price is known."""

from __future__ import annotations

import pytest

from phasegate.agents.models.conversation import TokenUsage
from phasegate.agents.models.names import ModelName
from phasegate.agents.models.prices import cost_usd, prices

MILLION = 1_000_000


def test_cached_input_is_cheaper_and_cache_writes_dearer() -> None:
    name = ModelName("anthropic", "claude-opus-4-6")
    price = prices()["anthropic", "claude-opus-4-6"]
    assert cost_usd(name, TokenUsage(100_000)) == pytest.approx(price.input / 10)
    assert cost_usd(name, TokenUsage(100_000, cached_input_tokens=100_000)) == pytest.approx(price.cached_input / 10)
    assert cost_usd(name, TokenUsage(100_000, cache_write_tokens=100_000)) == pytest.approx(price.cache_write / 10)
    assert cost_usd(name, TokenUsage(output_tokens=MILLION)) == pytest.approx(price.output)
    assert price.cached_input < price.input < price.cache_write


def test_a_long_input_changes_the_price_of_the_whole_exchange() -> None:
    price = prices()["openai", "gpt-5.5"]
    assert price.long_context is not None
    at_the_limit = TokenUsage(price.long_context.above_input_tokens, 0, MILLION)
    short, long = cost_usd("openai:gpt-5.5", at_the_limit), cost_usd("openai:gpt-5.5", at_the_limit + TokenUsage(1))
    assert short is not None
    assert long is not None
    assert long > 1.5 * short


@pytest.mark.parametrize("name", ["openai:gpt-5.3-codex-2026-02-05", "anthropic:claude-opus-4-5-20251101"])
def test_a_snapshot_costs_what_its_model_costs(name: str) -> None:
    assert cost_usd(name, TokenUsage(1000)) is not None


@pytest.mark.parametrize("name", ["openai:nobody-knows-it", "compatible:gpt-5.5", "anthropic:gpt-5.5"])
def test_nobody_guesses_a_price(name: str) -> None:
    assert cost_usd(name, TokenUsage(1000)) is None


def test_every_row_makes_sense() -> None:
    for price in prices().values():
        assert price.source.startswith("https://")
        assert 0 < price.cached_input < price.input <= price.cache_write < price.output
