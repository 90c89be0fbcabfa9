"""Running processes are told from what is left of ended ones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phasegate.infra.system import process_table, processes
from phasegate.infra.system.process_table import Process, row
from phasegate.infra.system.processes import ProcessId, stop_all

NOBODY = 2**22 + 1
"""More than any process's number. Source: proc_sys_kernel(5), `pid_max`."""
ALIVE = Process(parent=1, group=NOBODY, session=NOBODY, ticks=0, started=7, ended=False)


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
