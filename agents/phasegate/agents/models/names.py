"""`provider:model`, the way policies and people name a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

from phasegate.infra.errors import UsageError

Provider = Literal["openai", "anthropic", "compatible"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model and the provider that serves it.

    Attributes:
        provider: `openai`, `anthropic`, or `compatible` (whatever speaks OpenAI's Chat Completions).
        model: The name the provider knows the model by.
    """

    provider: Provider
    model: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read `provider:model`; the model's own name may hold further colons.

        Raises:
            UsageError: There is no such provider, or no model after it.
        """
        provider, _, model = text.strip().partition(":")
        if not _is_provider(provider) or not model.strip():
            raise UsageError(
                f"{text!r} names no model.",
                remedy="Write PROVIDER:MODEL, where PROVIDER is openai, anthropic or compatible: "
                "for example openai:gpt-5.3-codex.",
                model=text,
            )
        return cls(provider, model.strip())

    def __str__(self) -> str:
        """`provider:model`."""
        return f"{self.provider}:{self.model}"


def _is_provider(text: str) -> TypeGuard[Provider]:
    return text in PROVIDERS
