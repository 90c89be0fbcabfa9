"""Text of a document: UTF-8 with a bound, and surrogates that are mended.

JSON and YAML escapes can spell half of a UTF-16 pair, which no UTF-8 can hold. Nothing here knows what a text says.
"""

from __future__ import annotations

import re
from typing import cast

from phasegate.infra.documents.bounds import DocumentBounds, unreadable

REPLACEMENT = "\ufffd"
"""Character in the place of one that cannot be kept."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def decoded(content: bytes, source: str, bounds: DocumentBounds) -> str:
    """Decode a document from UTF-8; a byte order mark before it is left out.

    Raises:
        DocumentUnreadable: It is too long, or not UTF-8.
    """
    bounds.require_size(content, source)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(source, "it is not UTF-8", content.count(b"\n", 0, error.start) + 1) from error


def mend_text(text: str) -> str:
    """Join surrogate pairs into their character; a lone surrogate becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend_value(value: object) -> object:
    """Mend all texts of a JSON value, keys too.

    Raises:
        RecursionError: The value is nested too deeply, which no value of a reader is.
    """
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        return [mend_value(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {mend_value(key): mend_value(item) for key, item in cast("dict[object, object]", value).items()}
    return value


def lone_surrogate(text: str) -> int | None:
    """Place of the first surrogate that is left once pairs are joined, or `None` if there is none."""
    if text.isascii() or not _SURROGATE.search(text):
        return None
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    match = _SURROGATE.search(joined)
    return None if match is None else match.start()
