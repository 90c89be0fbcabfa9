"""Pages on screens of any width: as wide as COLUMNS says or 80 columns, through a pager if long, cut nowhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.text import Text
from tests.acceptance.cli.conftest import Answer, CliHarness

from phasegate.flows.cli import output
from phasegate.flows.cli.views.live import shown_attempts
from phasegate.flows.cli.views.tables import work_text
from phasegate.flows.views.pending import waited_seconds, waiting_times

Call = Callable[..., Answer]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Screen(io.StringIO):
    """A terminal of the test's own."""

    def isatty(self) -> bool:
        return True


def opened_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal of 40 columns and 5 lines, from here on; pytest sets standard output when a test begins."""
    terminal = Screen()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.delenv("LESS", raising=False)
    return terminal


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("100", 100), ("60", 60)])
def test_a_piped_page_is_as_wide_as_the_terminal(
    scene: CliHarness, phasegate: Call, monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    """Mutation seen: 120 columns without a terminal, which wrapped each rule and table of a narrower one."""
    run, _ = scene.at_prd_gate()
    monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS")
    page = phasegate("show", run.id).out.splitlines()
    assert max(len(line) for line in page if "─" in line) == width
    command = f'  phasegate revise {run.id} prd --note "what should be different"'
    assert command in page  # to copy: on one line, whatever the width


@pytest.mark.parametrize(("pager", "lines", "paged"), [(True, 30, True), (False, 30, False), (True, 2, False)])
def test_a_long_page_goes_through_the_pager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pager: bool, lines: int, paged: bool
) -> None:
    """Mutation tried: the height is not looked at; two lines went through the pager, too."""
    screen, kept = opened_screen(monkeypatch), tmp_path / "paged"
    monkeypatch.setenv("PAGER", f"tee {kept} >/dev/null; echo $LESS >> {kept}; true")
    output.show_page(Text("\n".join(f"line {number}" for number in range(lines))), pager=pager)
    assert kept.exists() == paged
    if paged:
        assert kept.read_text().splitlines() == [*(f"line {number}" for number in range(lines)), "FRX"]
        assert screen.getvalue() == ""
    else:
        assert len(screen.getvalue().splitlines()) == lines


def test_a_pager_that_is_not_there_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = opened_screen(monkeypatch)
    monkeypatch.setenv("PAGER", "no-such-pager -x")
    output.show_page(Text("\n" * 30 + "end"), pager=True)
    assert "end" in screen.getvalue()


def test_a_sentence_is_broken_between_words_and_a_command_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation tried: the text as it is; a terminal of 40 columns cut "writes" in two."""
    screen = opened_screen(monkeypatch)
    text = (
        "See what it did so far, then go on with `phasegate resume run-5kq0x2m8v1tz`.\n  https://a.example/" + "x" * 40
    )
    shown = output.for_terminal(text, screen).splitlines()
    assert "`phasegate resume run-5kq0x2m8v1tz`." in shown
    assert all(len(line) <= 40 for line in shown[:-1])
    assert shown[-1] == text.splitlines()[-1]
    assert output.for_terminal(text, io.StringIO()) == text


def test_a_live_view_keeps_what_runs_and_the_latest(scene: CliHarness) -> None:
    """Mutation seen: all rows were drawn, and the terminal cut off the running stage at the bottom."""
    run, _ = scene.at_prd_gate()
    for _ in range(4):
        scene.attempt(run, "implementation")
    attempts = scene.ledger.attempts.list(run.id)
    numbers = [(attempt.stage, attempt.number) for attempt in shown_attempts(attempts, 2)]
    assert numbers == [("implementation", 3), ("implementation", 4)]
    assert shown_attempts(attempts, 0) == []
    assert shown_attempts(attempts, 50) == attempts


def test_the_time_of_a_person_is_told_apart(scene: CliHarness, phasegate: Call) -> None:
    """Mutation tried: `waited_seconds` gives 0; a stage that asked a person was as slow as they were."""
    times = ((BEGAN, BEGAN + timedelta(seconds=40)), (BEGAN + timedelta(seconds=60), BEGAN + timedelta(minutes=5)))
    end = BEGAN + timedelta(seconds=70)
    assert waited_seconds(BEGAN, end, times) == 50
    assert work_text(BEGAN, end, times) == "20.0 s\n+ 50.0 s wait"
    assert work_text(BEGAN, end, ()) == "70.0 s"
    run, gate = scene.at_prd_gate()
    (wait,) = waiting_times([gate], [], [])
    assert wait[0] == gate.opened_at
    assert run.id in phasegate("show", run.id).out


def test_messages_and_questions_stand_in_their_order(scene: CliHarness, phasegate: Call) -> None:
    """Mutation seen: all messages came first, then all questions."""
    run = scene.accept()
    attempt = scene.attempt(run, "implementation")
    scene.ledger.messages.queue(run.id, "first", sender="ana")
    scene.ledger.questions.ask(attempt, 1, 0, "second?")
    scene.ledger.runs.set_status(run.id, "waiting")
    scene.ledger.questions.answer(run.id, "third", person="ana")
    scene.ledger.messages.queue(run.id, "fourth", sender="ana")
    page = phasegate("show", run.id).out
    places = [page.index(word) for word in ("first", "second?", "third", "fourth")]
    assert places == sorted(places)
