"""P17: masking takes time in proportion to the text, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.growth import require_linear

from phasegate.infra.secrets import Secrets

TOKEN = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8bC0dF2hJ4"
REPEATED = {
    "beginnings of OpenAI keys": "sk-",
    "beginnings of tokens in JSON": "eyJ-",
    "tokens in JSON that are cut": "eyJaaaaaaaaaaaaa.",
    "headers of private keys": "-----BEGIN ",
    "words of a private key's header": "-----BEGIN A B C ",
    "ends of private keys": "-----END A ",
    "names of a secret": "aws_secret_access_key = ",
    "names in several cases": "AWS_Secret_ACCESS_key",
    "beginnings of GitHub tokens": "ghp_",
    "letters beyond ASCII": "é sk-ß ",
    "blanks": "  \n",
    "minified code": "var a=function(b,c){return b.d+c[0]};",
}


@pytest.mark.parametrize("kind", REPEATED)
def test_time_grows_with_the_text(kind: str) -> None:
    """Mutations tried: `run` of OpenAI keys left out; without possessive quantifiers in JSON tokens."""
    part = REPEATED[kind]
    make: Callable[[int], str] = lambda size: part * (size // len(part))  # noqa: E731 - the input's own maker
    require_linear(make, Secrets({"X_KEY": "hunter2-secret"}).mask, 250_000)


def test_blanks_behind_a_name_are_read_once() -> None:
    require_linear(lambda size: "aws_secret_access_key" + " " * size, Secrets().mask, 250_000)


@pytest.mark.parametrize(
    ("before", "after"), [("ask-sk-", ""), ("sk-" * 5_000, ""), ("sk-sk-", "-sk-"), ("eyJ-" * 5_000 + ".", "")]
)
def test_a_key_among_its_own_beginnings_is_masked(before: str, after: str) -> None:
    masked = Secrets().mask(f"{before}{TOKEN}{after} and")
    assert (TOKEN in masked.text) == before.startswith("eyJ")
    assert masked.text.endswith(" and")


def test_a_key_that_lies_across_windows_is_masked() -> None:
    for shift in range(-25, 25):
        text = "." * (256 * 1024 + shift) + f"aws_SECRET_access_key={TOKEN}+/9a"
        assert [leak.kind for leak in Secrets().mask(text).leaks] == ["AWS secret"]


def test_of_secrets_that_overlap_the_first_and_longest_is_masked() -> None:
    secrets = Secrets({"A_KEY": "abab-abab-x", "B_KEY": "abab-abab-x-longer", "C_KEY": "x-longer-still"})
    assert [leak.kind for leak in secrets.mask("abab-abab-x-longer-still").leaks] == ["B_KEY"]
    assert [leak.kind for leak in secrets.mask("abab-abab-abab-x").leaks] == ["A_KEY"]
