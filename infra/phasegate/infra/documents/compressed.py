"""Compressed content of others, unfolded within a bound."""

from __future__ import annotations

import base64
import binascii
import zlib

from phasegate.infra.documents.bounds import DocumentBounds, unreadable

_GZIP = 31
"""Window bits that have zlib read gzip's header."""


def gunzipped_base64(text: str, source: str, bounds: DocumentBounds) -> bytes:
    """Decode Base64, and unfold the gzip in it.

    Raises:
        DocumentUnreadable: It is neither, is cut off, or is longer than its bound once unfolded.
    """
    try:
        unfolding = zlib.decompressobj(_GZIP)
        content = unfolding.decompress(base64.b64decode(text), bounds.size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise unreadable(source, f"it is not packed as phasegate packs it: {error}") from error
    bounds.require_size(content, source)
    if not unfolding.eof:
        raise unreadable(source, "it is cut off")
    return content
