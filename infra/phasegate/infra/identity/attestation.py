"""Signed statements that can be checked anywhere: DSSE envelopes, and the engine's key that signs them.

Called by `flows.runs.audit_bundle`. It must not know what is stated. Source: DSSE v1.0.2 (protocol and envelope),
in-toto Attestation Framework v1 (statement), RFC 8032 (Ed25519).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from phasegate.infra.artifacts import sha256
from phasegate.infra.errors import ConfigError, TrailBroken

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"

Envelope = Mapping[str, Any]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Bytes that are signed: type and payload, each behind its length in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class AttestationKey:
    """An Ed25519 key that lives on this machine.

    Attributes:
        private: The key.
    """

    private: Ed25519PrivateKey

    @classmethod
    def open(cls, path: Path) -> AttestationKey:
        """Read the key, or make it.

        Effects: the file, readable by its owner only, the first time.

        Raises:
            ConfigError: The file holds something else, or others may read it.
        """
        if not path.exists():
            _write_once(path)
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"others may read {path}", remedy=f"chmod 600 {path}, or move it away to get a new key.")
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(path.read_bytes()))
        except ValueError as error:
            raise ConfigError(f"{path} holds no Ed25519 key", remedy="Move it away to get a new key.") from error

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    def sign(self, payload_type: str, payload: bytes) -> dict[str, Any]:
        """A DSSE envelope around a payload."""
        signature = self.private.sign(pre_authentication_encoding(payload_type, payload))
        return {
            "payloadType": payload_type,
            "payload": encoded(payload),
            "signatures": [{"keyid": key_id(self.public), "sig": encoded(signature)}],
        }


def verified(envelope: Envelope, public: bytes, payload_type: str) -> bytes:
    """The payload of an envelope that this key signed; nothing else of the envelope is to be believed.

    Args:
        envelope: As it came.
        public: The public key's 32 bytes.
        payload_type: What it must hold.

    Raises:
        TrailBroken: The signature does not hold, or the envelope is of another type or shape.
    """
    try:
        (signature,) = envelope["signatures"]
        payload = decoded(envelope["payload"])
        if set(envelope) != {"payloadType", "payload", "signatures"} or set(signature) != {"keyid", "sig"}:
            raise TrailBroken("the envelope holds more than a DSSE envelope does")
        if signature["keyid"] != key_id(public) or envelope["payloadType"] != payload_type:
            raise TrailBroken("the envelope is of another type, or names another key")
        signed = pre_authentication_encoding(payload_type, payload)
        Ed25519PublicKey.from_public_bytes(public).verify(decoded(signature["sig"]), signed)
    except InvalidSignature as error:
        raise TrailBroken("the envelope's signature does not hold: it was changed after it was signed") from error
    except (KeyError, TypeError, ValueError) as error:
        raise TrailBroken(f"this is no DSSE envelope: {error!r}") from error
    return payload


def key_id(public: bytes) -> str:
    """Name of a key: the digest of its 32 bytes."""
    return sha256(public)


def encoded(content: bytes) -> str:
    """Bytes in standard Base64."""
    return base64.b64encode(content).decode()


def decoded(text: str) -> bytes:
    """The bytes, if the text is their one standard spelling.

    Raises:
        TrailBroken: It is another one, which decoders let pass.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise TrailBroken(f"this is no Base64: {error}") from error
    if encoded(content) != text:
        raise TrailBroken("this Base64 is not spelled as it was written")
    return content


def _write_once(path: Path) -> None:
    """Make a key file, complete or not at all; if another process was faster, its key stays."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    raw = serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Ed25519PrivateKey.generate().private_bytes(*raw))
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass  # another process was faster
    finally:
        fresh.unlink()
