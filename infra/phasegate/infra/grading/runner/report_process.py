"""Chooses where a report is read: here, or in a process of its own if it is large.

Called by the test bed. It must not know what a test's status is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from phasegate.infra.grading.runner.junit import REPORT_LIMIT, TestCase, read_report
from phasegate.infra.grading.runner.report_text import ReportUnreadable
from phasegate.infra.system.trees import walk

AT_ONCE = 1024 * 1024
"""Bytes of a report that is read in the engine's own process."""
_SECONDS = 180.0
_WORKER = "phasegate.infra.grading.runner.report_worker"


def read_bounded_report(path: Path, root: Path, checkout: Path) -> list[TestCase]:
    """Read a report as `read_report` does, within bounds of time and memory.

    Raises:
        ReportUnreadable: As `read_report`; or it takes too much time or memory.
    """
    size = _size(path)
    if size > REPORT_LIMIT and path.is_dir():  # one file that is too large is not read to its end either
        raise ReportUnreadable(f"{path.name}: the reports are larger than {REPORT_LIMIT // 1024**2} MiB together")
    if size <= AT_ONCE or size > REPORT_LIMIT:
        return read_report(path, root, checkout)
    # -P: no module is imported from the folder that the engine was started in; nor does it get the engine's secrets
    command = [sys.executable, "-P", "-m", _WORKER, str(path), str(root), str(checkout)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
    ) as child:
        clock = threading.Timer(_SECONDS, child.kill)
        clock.start()
        try:
            return _cases(child, path.name)
        finally:
            clock.cancel()
            child.kill()


def _cases(child: subprocess.Popen[bytes], name: str) -> list[TestCase]:
    cases: list[TestCase] = []
    for line in child.stdout or ():  # each line alone: other threads go on in between
        match json.loads(line):
            case [str(id_), file, status, str(message)]:
                cases.append(TestCase(id_, file, status, message))
            case {"unreadable": why}:
                raise ReportUnreadable(str(why))
            case {"tests": count} if count == len(cases):
                return cases
            case _:
                break
    raise ReportUnreadable(f"{name}: reading the report takes too much time or memory")


def _size(path: Path) -> int:
    """Bytes of a report, or of all the files of a report folder, as far as a limit needs to know."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    total = 0
    for folder, _, names in walk(path):
        for name in names:
            if name.endswith(".xml"):
                total += os.lstat(Path(folder, name)).st_size
            if total > REPORT_LIMIT:
                return total
    return total
