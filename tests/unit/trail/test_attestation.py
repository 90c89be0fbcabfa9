"""DSSE as its specification has it, and a key that no other user can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phasegate.infra.errors import ConfigError, TrailBroken
from phasegate.infra.identity.attestation import AttestationKey, decoded, key_id, pre_authentication_encoding, verified

KIND = "http://example.com/HelloWorld"


def test_what_is_signed_is_the_specifications_example() -> None:
    """Source: the example of DSSE v1.0.2, protocol.md. Untried mutation: leaving out either length."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding(KIND, b"hello world") == expected


def test_lengths_are_of_bytes_not_of_characters() -> None:
    assert pre_authentication_encoding("é", "ü".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xbc"


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = AttestationKey.open(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert AttestationKey.open(tmp_path / "key").public == key.public
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        AttestationKey.open(tmp_path / "key")


def test_a_signed_payload_comes_back_and_no_other(tmp_path: Path) -> None:
    """Untried mutation: not checking the payload's type, the key's id, or the signature, makes a case fail."""
    key, other = AttestationKey.open(tmp_path / "key"), AttestationKey.open(tmp_path / "other")
    envelope = key.sign(KIND, b"{}")
    assert verified(envelope, key.public, KIND) == b"{}"
    with pytest.raises(TrailBroken, match="another key"):
        verified(envelope, other.public, KIND)
    with pytest.raises(TrailBroken, match="another type"):
        verified(envelope, key.public, "text/plain")
    forged = json.loads(json.dumps(envelope))
    forged["signatures"][0]["sig"] = other.sign(KIND, b"{}")["signatures"][0]["sig"]
    with pytest.raises(TrailBroken, match="signature does not hold"):
        verified(forged, key.public, KIND)
    with pytest.raises(TrailBroken, match="no DSSE envelope"):
        verified({**envelope, "signatures": []}, key.public, KIND)
    assert key_id(key.public).startswith("sha256:")


@pytest.mark.parametrize("text", ["QQ", "QR==", "Q Q==", "QQ==\n", "é"])
def test_base64_has_one_spelling(text: str) -> None:
    """`QR==` decodes to the same byte as `QQ==`. Mutation tried: not encoding it again."""
    with pytest.raises(TrailBroken):
        decoded(text)
