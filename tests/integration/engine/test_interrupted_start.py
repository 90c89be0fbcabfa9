"""Ctrl-C while `phasegate up` starts an engine: the engine that it started ends, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from phasegate.flows.engine import control
from phasegate.flows.engine.info import engine_alive
from phasegate.infra.settings import Settings

PROGRAM = Path(sys.executable).parent / "phasegate"


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes whose state folder this is."""
    found: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PHASEGATE_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


@pytest.mark.timeout(400)
@pytest.mark.parametrize("phase", ["starting the engine", "starting the Prefect server"])
def test_it_leaves_no_engine_behind(tmp_path: Path, phase: str) -> None:
    """Mutation tried: `stop_on_interrupt` is False; the engine came up after the command had ended."""
    home = tmp_path / "home"
    up = subprocess.Popen(
        [PROGRAM, "up"],
        env={**os.environ, "PHASEGATE_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout is not None
        assert any(phase in line for line in up.stdout)
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=120)
        assert up.returncode == 130
        assert processes_of(home) == []
        assert not engine_alive(Settings(home=home))
    finally:
        control.stop(Settings(home=home))
