"""Owners of keys, read from an allowed-signers file."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.errors import NotAllowed, PolicyError
from phasegate.infra.identity import AllowedSigners
from phasegate.infra.identity.public_key import fingerprint, key_blob

# Made for this test with ssh-keygen; the private halves were never kept.
ANA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILybKdB2eA/vC3znUczBGNfLsFOHDGklP6N/dNEP7m7v"
BO = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINi7Jn10xx8udlF5Dblwt4yvZlms8t8JVreEhjXl9zIB"


@dataclass(frozen=True)
class Case:
    line: str
    owner: str | None


CASES = {
    "plain": Case(f"ana@example.org {ANA}", "ana@example.org"),
    "with a comment": Case(f"ana@example.org {ANA} ana's laptop", "ana@example.org"),
    "with options": Case(f'ana namespaces="phasegate-decision,git",valid-before="20300101" {ANA}', "ana"),
    "option with a space": Case(f'ana namespaces="a b" {ANA}', "ana"),
    "several principals: the first": Case(f"ana,bo {ANA}", "ana"),
    "quoted principals": Case(f'"ana,bo" {ANA}', "ana"),
    "a pattern is nobody": Case(f"*@example.org {ANA}", None),
    "a comment": Case(f"# ana {ANA}", None),
    "another key": Case(f"bo {BO}", None),
    "an authority signs keys, not decisions": Case(f"ana cert-authority {ANA}", None),
    "a key that is none": Case("ana ssh-ed25519 AAAAnothing", None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_key_belongs_to_the_person_its_line_names(case: Case) -> None:
    """P5. Mutation tried: patterns taken for names (`is_one_person` always true)."""
    assert AllowedSigners(text=f"\n{case.line}\n").principal_of(ANA) == case.owner


def test_a_key_on_two_lines_belongs_to_one_person() -> None:
    """A quorum counts people: one key must not speak for two."""
    assert AllowedSigners(text=f"ana {ANA}\nbo {ANA}\n").principal_of(f"{ANA} comment") == "ana"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "allows nobody"), (b"* " + ANA.encode(), "allows nobody"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_file_nobody_can_sign_by_is_refused_at_once(content: bytes, why: str) -> None:
    with pytest.raises(PolicyError, match=f"signers {why}"):
        AllowedSigners.from_file(content, source="signers")


def test_a_key_of_nobody_is_named_by_its_fingerprint() -> None:
    with pytest.raises(NotAllowed, match=fingerprint(BO).replace("+", r"\+")):
        AllowedSigners(text=f"ana {ANA}").require(BO)


def test_whoever_is_to_sign_elsewhere_is_named_by_the_file() -> None:
    """Bytes for a person who is not named would be signed in vain."""
    signers = AllowedSigners(text=f"ana {ANA}\n*@example.org {BO}\n")
    assert signers.require_named("ana") == "ana"
    for nobody in ("cy", "*@example.org", "cy@example.org"):
        with pytest.raises(NotAllowed, match="is not among the run's allowed signers") as refused:
            signers.require_named(nobody)
        assert "named ana." in refused.value.remedy


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-rsa " + ANA.split()[1], "a b", "-----BEGIN OPENSSH"])
def test_what_is_no_public_key_has_no_blob(text: str) -> None:
    assert key_blob(text) == ""
