"""Reading of one large report, in a process of its own: `python -m phasegate.infra.grading.runner.report_worker`.

Started by `report_process` with the report's path, the folder that the tests ran in and the checkout. Apart from the
engine, because the report was written by untrusted code: here memory and processor time are bounded, and no other run
waits. Prints a JSON line for each test, or one that says why the report cannot be read.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from phasegate.infra.grading.runner.junit import read_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable

_MEMORY = 2 * 1024**3
_PROCESSOR_SECONDS = 60


def main(path: str, root: str, checkout: str) -> None:
    """Read a report, and print its tests."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS + 1))
    try:
        cases = read_report(Path(path), Path(root), Path(checkout))
    except ReportUnreadable as error:
        _write({"unreadable": str(error)})
    except MemoryError:
        _write({"unreadable": "the report takes too much memory"})
    else:
        for case in cases:
            _write([case.id, case.file, case.status, case.message])
        _write({"tests": len(cases)})


def _write(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
