"""Provider and model of a model's name, and the variables with its credentials."""

from __future__ import annotations

import pytest

from phasegate.agents.models.keys import Credentials, credentials
from phasegate.agents.models.names import ModelName
from phasegate.infra.errors import ModelKeyMissing, UsageError

OPENAI = ModelName("openai", "gpt-5.3-codex")
COMPATIBLE = ModelName("compatible", "qwen:8b")


def test_a_name_is_read_and_written_back() -> None:
    assert ModelName.parse(" compatible:qwen:8b ") == COMPATIBLE
    assert str(COMPATIBLE) == "compatible:qwen:8b"


@pytest.mark.parametrize("text", ["", "gpt-5", "openai:", "openai: ", ":gpt-5", "OpenAI:gpt-5", "google:gemini"])
def test_what_names_no_model(text: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        ModelName.parse(text)


def test_credentials_from_the_environment() -> None:
    assert credentials(OPENAI, {"OPENAI_API_KEY": " key \n"}) == Credentials(None, "key")
    environment = {"ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    assert credentials(ModelName("anthropic", "m"), environment) == Credentials("http://127.0.0.1:1", "key")
    environment = {"PHASEGATE_COMPATIBLE_BASE_URL": "http://127.0.0.1:1/v1"}
    assert credentials(COMPATIBLE, environment) == Credentials("http://127.0.0.1:1/v1", "")


@pytest.mark.parametrize(
    ("name", "environment", "variable"),
    [
        (OPENAI, {}, "OPENAI_API_KEY"),
        (OPENAI, {"OPENAI_API_KEY": "  "}, "OPENAI_API_KEY"),
        (OPENAI, {"OPENAI_API_KEY": "secret\nkey"}, "OPENAI_API_KEY"),
        (OPENAI, {"OPENAI_API_KEY": "secret‑key"}, "OPENAI_API_KEY"),
        (ModelName("anthropic", "m"), {"OPENAI_API_KEY": "k"}, "ANTHROPIC_API_KEY"),
        (COMPATIBLE, {"PHASEGATE_COMPATIBLE_API_KEY": "k"}, "PHASEGATE_COMPATIBLE_BASE_URL"),
    ],
)
def test_a_missing_key_is_named_with_the_way_out(name: ModelName, environment: dict[str, str], variable: str) -> None:
    with pytest.raises(ModelKeyMissing) as caught:
        credentials(name, environment)
    assert variable in caught.value.message
    assert variable in caught.value.remedy
    assert "--rehearse" in caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://h/v1", "http://", "http://h/?key=k", "http://[::1"])
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="PHASEGATE_COMPATIBLE_BASE_URL"):
        credentials(COMPATIBLE, {"PHASEGATE_COMPATIBLE_BASE_URL": url})


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(None, "secret"))
