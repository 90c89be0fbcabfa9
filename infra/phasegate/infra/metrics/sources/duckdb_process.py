"""Questions to DuckDB in a process of its own, with limits on memory and time.

Asked by the metric source `log` and by `tables`. DuckDB bounds its own memory, but not that of every function in a
query, and it is not interrupted within one: the process is. It must not know what is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable

START = timedelta(seconds=25)
"""For a process that starts on a busy machine; it gives the query its own time."""
_BOUNDS = DocumentBounds(size=MIB)


class QueryRefused(ValueError):
    """The query was not answered; the message says why."""


class QueryTooSlow(QueryRefused):
    """The query took longer than it may."""


def ask_duckdb(request: Mapping[str, Any], time: timedelta) -> dict[str, Any]:
    """Ask one request.

    Args:
        request: As `duckdb_worker` has it.
        time: The most that the query may take.

    Raises:
        QueryRefused: It does not hold, reaches for something else, or takes too much.

    Effects:
        A process for as long as it takes, without the engine's environment.
    """
    content = json.dumps({**request, "seconds": time.total_seconds()})
    try:
        # -P: no module is imported from the folder that the engine was started in
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "phasegate.infra.metrics.sources.duckdb_worker"],
            input=content,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=(time + START).total_seconds(),
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise QueryTooSlow(f"the query took longer than {time.total_seconds():g} s") from error
    if ended.returncode:
        raise QueryRefused("the query took more memory than it may have, or broke what answers it")
    try:
        reply = read_json_table(ended.stdout, "the answer", _BOUNDS)
    except DocumentUnreadable as error:
        raise QueryRefused(f"the query broke what answers it: {error.reason}") from error
    if "slow" in reply:
        raise QueryTooSlow(str(reply["slow"]))
    if "refused" in reply:
        raise QueryRefused(str(reply["refused"]))
    return reply
