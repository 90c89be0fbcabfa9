"""Running processes are told from what is left of ended ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta

import pytest

from phasegate.infra.system import process_table, processes
from phasegate.infra.system.detached import DetachedProcess
from phasegate.infra.system.ports import holder_of
from phasegate.infra.system.process_table import Process, row
from phasegate.infra.system.processes import ProcessId, command_of, find_by_mark, stop_all
from phasegate.infra.system.spawn import MARK

NOBODY = 2**22 + 1
"""More than any process's number. Source: proc_sys_kernel(5), `pid_max`."""
RUNNING: tuple[str | bytes, ...] = (sys.executable, "-c", "import time; print(flush=True); time.sleep(600)")
ALIVE = Process(parent=1, group=NOBODY, session=NOBODY, ticks=0, started=7, ended=False)


def wait_until_running(process: subprocess.Popen[bytes]) -> None:
    """Wait for a line of its output: the kernel shows no arguments for a moment after `Popen` returns."""
    assert process.stdout is not None
    process.stdout.readline()


@pytest.mark.parametrize(("group", "state", "ended"), [("-1", "S", True), ("7", "S", False), ("7", "Z", True)])
def test_what_is_just_being_collected_has_ended(
    monkeypatch: pytest.MonkeyPatch, group: str, state: str, ended: bool
) -> None:
    """The kernel names no group any more, whatever it says of the state (do_task_stat in its fs/proc/array.c)."""
    fields = [state, "1", group, group, *["0"] * 30]
    monkeypatch.setattr(process_table, "_fields", lambda *_: [field.encode() for field in fields])
    found = row(NOBODY)
    assert found is not None
    assert found.ended == ended


async def test_no_signal_is_sent_to_the_group_of_what_is_just_being_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: a signal sent to group -1; the system refuses it, and a release failed for it."""
    seen = iter([ALIVE, ALIVE._replace(group=-1, session=-1, ended=True)])
    monkeypatch.setattr(f"{processes.__name__}.row", lambda pid: next(seen, None) if pid == NOBODY else row(pid))
    await stop_all("nobody's mark", [ProcessId(pid=NOBODY, started=7)], grace=timedelta(seconds=5))
    assert next(seen, None) is None


def test_a_marked_process_is_found_by_the_beginning_of_its_mark() -> None:
    """Mutation tried: the mark looked for anywhere in a variable; the start time of psutil in seconds."""
    marked = {**os.environ, MARK: "test-of-marks/one", "OTHER": f"{MARK}=other"}
    with subprocess.Popen([*RUNNING], stdout=subprocess.PIPE, env=marked) as process:
        wait_until_running(process)
        started = row(process.pid)
        assert started is not None
        wanted = ProcessId(pid=process.pid, started=started.started)
        assert wanted in find_by_mark("test-of-marks/")
        assert wanted not in find_by_mark("of-marks/")
        assert wanted not in find_by_mark("other")
        assert DetachedProcess.of(process.pid) == DetachedProcess(process.pid, started.started)
        process.kill()
        process.wait()
        assert wanted not in find_by_mark("test-of-marks/")


def test_a_command_line_is_text_that_can_be_stored() -> None:
    """Mutation tried: without `mend_text`, a lone surrogate stays."""
    with subprocess.Popen([*RUNNING, b"caf\xe9", ""], stdout=subprocess.PIPE) as process:
        wait_until_running(process)
        assert command_of(process.pid).rstrip().endswith("time.sleep(600) caf\ufffd")
        process.kill()
    assert command_of(process.pid) == ""


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_holder_of_a_port_is_the_process_that_listens(family: socket.AddressFamily, address: str) -> None:
    """Mutation tried: any state of a connection; IPv4 alone."""
    with socket.socket(family, socket.SOCK_STREAM) as server, socket.socket(family, socket.SOCK_STREAM) as client:
        server.bind((address, 0))
        assert holder_of(server.getsockname()[1]) is None
        server.listen()
        client.connect(server.getsockname())
        assert holder_of(server.getsockname()[1]) == os.getpid()
        assert holder_of(client.getsockname()[1]) is None
