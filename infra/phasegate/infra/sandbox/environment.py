"""Environment of a command inside a sandbox: the variables of the caller's that are allowed, and no others.

Called by the backends. It must not know how a command is shut in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def allowed_environment(names: Iterable[str], home: Path) -> dict[str, str]:
    """PATH, HOME, LANG, TERM, and the variables that policy names.

    The running interpreter's folder comes last on PATH: its pytest serves a project that has none.

    Args:
        names: Variables to hand in, where they are set.
        home: HOME inside.
    """
    handed = {name: os.environ[name] for name in names if name in os.environ}
    return {
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TERM": os.environ.get("TERM", "dumb"),
        **handed,
        "PATH": os.pathsep.join([*search_path(), str(Path(sys.executable).parent)]),
        "HOME": str(home),
    }


def search_path() -> list[str]:
    """The caller's PATH, without relative entries."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [entry for entry in dict.fromkeys(entries) if entry.startswith("/")]


def as_arguments(command: str | Sequence[str]) -> list[str]:
    """Shell text, or a program with its arguments, as a program with its arguments."""
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
