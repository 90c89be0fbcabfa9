"""Mend UTF-16 surrogates in text that came from JSON or YAML escapes.

Called where such text enters: tickets and models' answers. It must not know what the text says.
"""

from __future__ import annotations

from typing import cast


def mend_text(text: str) -> str:
    """Join surrogate pairs into their character; a lone surrogate becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend_value(value: object) -> object:
    """Mend all texts of a JSON value, keys too.

    Raises:
        RecursionError: The value is nested too deeply.
    """
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        return [mend_value(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {mend_value(key): mend_value(item) for key, item in cast("dict[object, object]", value).items()}
    return value
