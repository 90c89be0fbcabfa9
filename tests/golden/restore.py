"""Restore what an earlier version stored: its ledger, its threads and its repository."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

from tests.acceptance.lifecycle.conftest import git

DATA = Path(__file__).parent / "data"
"""Finished runs, by version."""
UNFINISHED = Path(__file__).parent / "unfinished"
"""Runs that waited, were paused or had failed."""
PLACE = Path("/tmp/phasegate-golden")
"""Folder that they were recorded in: the same everywhere, because the ledger remembers it."""


def restore(stored: Path, home: Path, repository: Path) -> None:
    """Fill a fresh state folder and a fresh repository with what is stored in a folder."""
    home.mkdir(mode=0o700)
    for name in ("ledger", "threads"):
        with sqlite3.connect(home / f"{name}.db") as database:
            database.executescript(dump(stored / f"{name}.sql.gz"))
    git(stored, "clone", "-q", "--mirror", str(stored / "greeter.bundle"), str(repository / ".git"))
    git(repository, "config", "core.bare", "false")
    git(repository, "reset", "-q", "--hard", "main")


def dump(path: Path) -> str:
    """The SQL of a stored database."""
    return gzip.decompress(path.read_bytes()).decode()
