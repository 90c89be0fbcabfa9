"""Output on a real terminal: colour and layout of our own, and no control character from a text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.live import Live

from phasegate.flows.cli.demo.examples import find_examples
from phasegate.flows.cli.views.diff import coloured
from phasegate.flows.cli.views.live import LiveView
from phasegate.flows.cli.views.plain_markdown import PlainMarkdown
from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Ledger, RunOptions
from phasegate.infra.ledger.events import EventKind

OURS = re.compile(r"\x1b\[[0-9;?]*[mAKhlJH]")
HOSTILE = "[blink]a[/] \x1b]8;;http://evil.example\x07click\x1b]8;;\x07 \x1b[2J \u202e"


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, markup=False, highlight=False)


def shown(terminal: Console) -> str:
    """The terminal's text without colour and cursor movements of rich's own."""
    assert isinstance(terminal.file, io.StringIO)
    return OURS.sub("", terminal.file.getvalue()).replace("\r", "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (HOSTILE, "[blink]a[/] ␛]8;;http://evil.example␇click"),
        ("an entity &#x202e; is a character too", "&#x202e;"),
        ("a [link](http://evil.example) says where it leads", "http://evil.example"),
        ("`code \x1b[31m`", "code"),
    ],
)
def test_markdown_of_others_cannot_act(terminal, source, expected):
    terminal.print(PlainMarkdown(source))
    text = shown(terminal)
    assert expected in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_a_diff_is_coloured_and_plain(terminal):
    terminal.print(coloured("--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new \x1b[2J\n"))
    assert isinstance(terminal.file, io.StringIO)
    assert "\x1b[32m+new ␛[2J" in terminal.file.getvalue()
    assert "\x1b[31m-old" in terminal.file.getvalue()


class _Text(Artifact):
    kind = "ticket"

    text: str


def test_the_live_view_shows_stages_gate_and_steps(terminal, tmp_path):
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    run = ledger.runs.accept(
        "run-1",
        title=HOSTILE,
        ticket=_Text(text="t"),
        policy=_Text(text="p"),
        repository="/r",
        base_branch="main",
        base_commit="0" * 40,
        requester="ana",
        options=RunOptions(),
        definition="1",
    )
    ledger.attempts.begin("run-1", "testing", "grading", 2, inputs={}, model="", prompt="", holder="here/1")
    ledger.note("run-1", EventKind.STAGE_STEP, payload={"stage": "testing", "text": f"grading {HOSTILE}"})
    with Live(console=terminal, auto_refresh=False) as live:
        LiveView(ledger, live).see(run, ledger.events("run-1"))
    text = shown(terminal)
    for expected in ("run-1", "testing (grading)", "attempt 2", "grading [blink]a[/] ␛]8;;", "0 tokens"):
        assert expected in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    ledger.close()


def test_the_examples_are_found():
    folder = find_examples()
    assert {"shortlinks", "tickets", "rehearsals"} <= {path.name for path in folder.iterdir()}
