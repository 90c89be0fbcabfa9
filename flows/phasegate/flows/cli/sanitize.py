"""Text for the terminal: `sanitize`, and text on one line.

Called wherever the command line prints text that it did not write itself.
"""

from __future__ import annotations

from phasegate.infra.sanitize import sanitize, sanitize_name

__all__ = ["one_line", "sanitize", "sanitize_name"]


def one_line(text: str, width: int = 100) -> str:
    """The text as a single plain line of at most `width` characters, cut with an ellipsis."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
