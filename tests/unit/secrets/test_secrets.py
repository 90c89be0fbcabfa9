"""P10: a secret that shows up in a text is masked, and told by kind and short digest only."""

from __future__ import annotations

import base64

import pytest

from phasegate.infra.secrets import Secrets

LETTERS = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8bC0dF2hJ4"  # 36
FORMS = {
    "AWS key": "AKIA" + "Q7XW2ER4TY6UI8OP",
    "AWS secret": "aws_secret_access_key = " + LETTERS + "+/9a",
    "GitHub token": "ghp_" + LETTERS,
    "GitLab token": "glpat-" + LETTERS[:20],
    "Anthropic key": "sk-ant-api03-" + LETTERS,
    "OpenAI key": "sk-proj-" + LETTERS,
    "Slack token": "xoxb-" + "123456789012-" + LETTERS[:12],
    "Google key": "AIza" + LETTERS[:35],
    "Stripe key": "sk_live_" + LETTERS[:24],
    "npm token": "npm_" + LETTERS,
    "JWT": "eyJ" + LETTERS[:12] + ".eyJ" + LETTERS[:12] + "." + LETTERS[:12],
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + LETTERS + "\n-----END OPENSSH PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_known_form_is_masked(kind: str) -> None:
    """Mutation tried: the kind's pattern under another name (JWT)."""
    masked = Secrets().mask(f"before {FORMS[kind]} after")
    assert [leak.kind for leak in masked.leaks] == [kind]
    assert FORMS[kind].split()[-1] not in masked.text
    assert masked.text.startswith("before ")
    assert masked.text.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn and sk-something-that-is-only-words-and-hyphens",
        "the sha 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "-----BEGIN PUBLIC KEY-----",
        "AKIA, the airport",
        "eyJhbGciOiJIUzI1NiJ9",
    ],
)
def test_what_only_resembles_a_secret_stays(text: str) -> None:
    assert Secrets().mask(text).text == text


def test_the_environments_own_secrets_are_known_by_value_and_in_disguise() -> None:
    value = "hunter2-correct/horse"
    environment = {
        "OPENAI_API_KEY": value,
        "DATABASE_URL": "postgresql://u:s3cr3t-pass@db/x",
        "EDITOR": "vim-is-no-secret",
        "SHORT_KEY": "abc",
        "DB_PASSWORD": "password",
    }
    secrets = Secrets.of(environment)
    encoded = base64.b64encode(value.encode()).decode()
    text = f"{value} {encoded} {value.encode().hex()} {value[::-1]} s3cr3t-pass vim-is-no-secret abc password"
    masked = secrets.mask(text)
    assert masked.text.endswith("vim-is-no-secret abc password")
    assert {leak.kind for leak in masked.leaks} == {"OPENAI_API_KEY", "the password in DATABASE_URL"}
    assert not any(part in masked.text for part in (value, encoded, value.encode().hex(), value[::-1], "s3cr3t-pass"))
    assert secrets.mask(masked.text).text == masked.text


def test_json_is_masked_all_through() -> None:
    value, leaks = Secrets({"X_KEY": "hunter2-secret"}).mask_all({"a": ["x hunter2-secret", {"b": 1}], "c": None})
    assert "hunter2" not in str(value)
    assert len(leaks) == 1
    assert "hunter2" not in str(leaks)
