"""Patterns of a policy, and the paths that they match.

Called when a change is collected, and where a write is refused earlier. It must not know what is protected why.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from phasegate.infra.documents.globs import glob_matches

if TYPE_CHECKING:
    from collections.abc import Iterable


def matches(patterns: Iterable[str], path: str) -> bool:
    """True if a path, or a folder it lies in, matches one of the patterns.

    Args:
        patterns: Globs relative to the repository's root: `*` and `?` stop at `/`, `**` does not.
        path: Relative to the repository's root, with `/`.
    """
    return any(glob_matches(pattern, path) for pattern in patterns)


def leads_to(path: str, files: Iterable[str]) -> bool:
    """True if a path is one of the files, or a folder that one of them lies in: a link there leads to another file.

    Args:
        path: Relative to the repository's root, with `/`.
        files: Likewise.
    """
    return any(f"{posixpath.normpath(file)}/".startswith(f"{path}/") for file in files)
