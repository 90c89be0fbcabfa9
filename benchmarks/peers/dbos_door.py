"""The way into DBOS from outside: one JSON request a line in, `ok` out. Started by `benchmarks.dbos_contender`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from dbos import DBOSClient


def main() -> None:
    """Answer until the input ends."""
    client = DBOSClient(system_database_url=os.environ["BENCHMARK_DATABASE"])
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        for run in request["runs"]:
            if request["verb"] == "start":
                options = {"queue_name": "benchmark", "workflow_name": "pipeline", "workflow_id": run}
                client.enqueue(options, run, *request["arguments"])  # type: ignore[arg-type]  # a TypedDict
            else:
                client.send(run, "approve", "gate")
        print("ok", flush=True)


if __name__ == "__main__":
    main()
