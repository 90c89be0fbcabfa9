"""Names of files that hold a program's text."""

from __future__ import annotations

import re

_CODE = re.compile(
    r".*\.(?:py|pyi|pyx|js|mjs|cjs|jsx|ts|mts|cts|tsx|go|java|kt|scala|rb|php|rs|cs|c|h|cc|cpp|swift|ex|exs|sh|pl|lua)"
)


def is_code(path: str) -> bool:
    """True if a file of this name holds a program's text."""
    return _CODE.fullmatch(path) is not None
