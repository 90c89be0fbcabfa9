"""Every way out of a command: a message and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phasegate.flows.cli import entry_point
from phasegate.flows.cli.actions import handoff
from phasegate.infra.settings import Settings

PROGRAM = Path(sys.executable).parent / "phasegate"


def test_a_defect_is_a_sentence_and_a_log(scene, phasegate, monkeypatch):
    def fail(_):
        raise RuntimeError("this \x1b[2J cannot be")

    monkeypatch.setattr(Settings, "from_environment", fail, raising=True)
    monkeypatch.setattr(entry_point, "_write_log", lambda _: scene.settings.logs / "cli.log")
    answer = phasegate("runs")
    assert answer.code == 1
    assert "RuntimeError: this ␛[2J cannot be" in answer.err
    assert str(scene.settings.logs / "cli.log") in answer.err
    assert "Traceback" not in answer.err
    monkeypatch.setenv("PHASEGATE_DEBUG", "1")
    assert "Traceback" in phasegate("runs").err


def test_a_defect_is_written_to_the_log(scene, phasegate, monkeypatch):
    monkeypatch.setattr(type(scene.ledger.runs), "list", lambda _: 1 / 0)
    assert phasegate("runs").code == 1
    assert "ZeroDivisionError" in (scene.settings.logs / "cli.log").read_text()


def test_ctrl_c_leaves_the_run_alone_and_says_so(scene):
    run = scene.accept()
    watching = subprocess.Popen(
        [sys.executable, "-c", WATCH, run.id],
        env={**os.environ, "PHASEGATE_HOME": str(scene.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert "run accepted" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert f"The run goes on without you. Follow it with `phasegate watch {run.id}`." in err
    assert "Traceback" not in err
    assert scene.status_of(run) == "accepted"


WATCH = """
import sys
from phasegate.flows.cli import main
from phasegate.flows.cli.actions import handoff
handoff.engine_alive = lambda _: True
sys.stdout.reconfigure(line_buffering=True)
main(["watch", sys.argv[1]])
"""


def test_a_closed_pipe_is_no_news(scene):
    run, _ = scene.at_prd_gate()
    done = subprocess.run(
        ["bash", "-c", f'"{PROGRAM}" show {run.id} --json | true; exit "${{PIPESTATUS[0]}}"'],
        env={**os.environ, "PHASEGATE_HOME": str(scene.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_a_dead_engine_is_noticed_within_seconds(scene, phasegate, monkeypatch):
    run = scene.accept()
    alive = iter([True, True])
    monkeypatch.setattr(handoff, "engine_alive", lambda _: next(alive, False))
    answer = phasegate("watch", run.id, "--json")
    assert answer.code == 2
    assert (answer.json["error"]["code"], answer.json["error"]["context"]) == ("engine", {"run": run.id})
    assert f"phasegate watch {run.id}" in answer.json["error"]["remedy"]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)], ids=["nothing", "--help", "-h"])
def test_help_is_what_one_gets_first(phasegate, words):
    answer = phasegate(*words)
    assert answer.code == 0
    assert "Exit codes: 0 done" in answer.out
