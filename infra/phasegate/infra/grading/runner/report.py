"""Read a report in any form that a runner wrote it in.

Called by `junit`. JUnit XML is the rule; Go and Cargo have none without a converter, so their own output is read, too.
It must not know what a test's status is.
"""

from __future__ import annotations

from pathlib import Path

from phasegate.infra.grading.runner.report_cargo import is_cargo_report, walk_cargo
from phasegate.infra.grading.runner.report_go import is_go_report, walk_go
from phasegate.infra.grading.runner.report_xml import RawCase, walk
from phasegate.infra.grading.runner.test_files import with_files


def walk_report(data: bytes, name: str, root: Path) -> list[RawCase]:
    """Read the tests of one report, in its order.

    Args:
        data: The whole file.
        name: The file's name, for messages.
        root: The checkout that the tests ran in, where a report names no file.

    Raises:
        ReportUnreadable: Not whole; in no known form; past a limit.
    """
    if data.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] == b"<":
        cases = walk(data, name)
    elif is_go_report(data):
        cases = walk_go(data, name)
    elif is_cargo_report(data):
        cases = walk_cargo(data, name)
    else:
        cases = walk(data, name)
    return with_files(cases, root)
