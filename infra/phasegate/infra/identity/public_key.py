"""SSH public keys as text: `ssh-ed25519 AAAA… comment`."""

from __future__ import annotations

import base64
import binascii
import hashlib

_WORDS = 2


def key_blob(text: str) -> str:
    """The key itself, in base 64, of one line of text, or an empty string if the line is no public key."""
    words = text.split()
    if len(words) < _WORDS:
        return ""
    kind, blob = words[:_WORDS]
    try:
        decoded = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return ""
    # the key starts with its own kind, length first (RFC 4253, 6.6)
    return blob if decoded[4 : 4 + len(kind)] == kind.encode() and int.from_bytes(decoded[:4]) == len(kind) else ""


def fingerprint(text: str) -> str:
    """Fingerprint of a key as `ssh-keygen -l` prints it: `SHA256:…`."""
    digest = hashlib.sha256(base64.b64decode(key_blob(text))).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
