"""Path of a test file inside a repository, as an agent hands it in.

Used by the models of sealed files and of characterization tests. It must not know what the file holds.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _inside(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path) or not path.isprintable():
        raise ValueError(f"not a path relative to the repository's root: {path!r}")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"not a plain relative path: {path!r}")
    if any(part.lower() == ".git" for part in parts):
        raise ValueError(f"a sealed test may not lie in a git directory: {path!r}")
    return path


FilePath = Annotated[str, AfterValidator(_inside)]
"""Path relative to the repository's root, outside of any git directory."""
