"""Credentials of the providers, read from environment variables.

Flows ask before a run starts, so that a missing key stops it before any work. This module must not know how a key is
used, and never puts one into a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phasegate.agents.models.names import ModelName, Provider
from phasegate.infra.errors import ModelKeyMissing, UsageError

KEY_VARIABLES: dict[Provider, str] = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "compatible": "PHASEGATE_COMPATIBLE_API_KEY",
}
BASE_URL_VARIABLES: dict[Provider, str] = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "compatible": "PHASEGATE_COMPATIBLE_BASE_URL",
}
_OTHERWISE = (
    "choose another model with `--model PROVIDER:MODEL` or `[agents] model` in phasegate.toml, "
    "or rehearse the run without one: `--rehearse SCRIPT`."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Address and key of a provider.

    Attributes:
        base_url: Its address; None for the provider's public one.
        key: The secret, left out of the repr; empty where none is needed.
    """

    base_url: str | None
    key: str = field(repr=False)


def credentials(name: ModelName, environment: Mapping[str, str]) -> Credentials:
    """Read the credentials of the provider of `name` from the environment.

    Raises:
        ModelKeyMissing: A variable the provider needs is not set, or holds what cannot be a key.
        UsageError: The base URL is not one.
    """
    key_variable, url_variable = KEY_VARIABLES[name.provider], BASE_URL_VARIABLES[name.provider]
    key = environment.get(key_variable, "").strip()
    base_url = environment.get(url_variable, "").strip() or None
    if name.provider == "compatible":
        if base_url is None:
            raise ModelKeyMissing(
                f"{name} needs the address of its server, and {url_variable} is not set.",
                remedy=f"Set {url_variable} (for example http://127.0.0.1:8000/v1), {_OTHERWISE}",
                variable=url_variable,
            )
    elif not key:
        raise ModelKeyMissing(
            f"{name} needs a key, and {key_variable} is not set.",
            remedy=f"Set {key_variable}, {_OTHERWISE}",
            variable=key_variable,
        )
    if not (key.isascii() and all(character.isprintable() and character != " " for character in key)):
        raise ModelKeyMissing(
            f"{key_variable} holds characters that no key has.",
            remedy=f"Set {key_variable} to the key alone, {_OTHERWISE}",
            variable=key_variable,
        )
    if base_url is not None:
        _check_url(base_url, url_variable)
    return Credentials(base_url, key)


def _check_url(base_url: str, variable: str) -> None:
    remedy = f"Set {variable} to an address like https://models.example.org/v1."
    # Each command that wakes the engine reads names of keys from here, and an address is rarely set.
    import httpx  # noqa: PLC0415 -- see above

    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise UsageError(f"{variable} is not an address.", remedy=remedy, variable=variable) from error
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise UsageError(f"{variable} is not an http(s) address.", remedy=remedy, variable=variable)
