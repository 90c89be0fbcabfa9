"""The demo's corner of the machine: made of the examples alone, and cleared however the demo ends."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from phasegate.flows.cli.demo import acts
from phasegate.flows.cli.demo.scratch import Scratch, make_scratch, nothing_left_running
from phasegate.infra.workspace import Repository


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    monkeypatch.setenv("PHASEGATE_HOME", "/nowhere")
    monkeypatch.setenv("PHASEGATE_DATABASE_URL", "sqlite:////nowhere/ledger.db")
    made = make_scratch()
    yield made
    shutil.rmtree(made.folder)


def test_it_is_a_repository_and_a_machine_of_its_own(scratch):
    repository = Repository.open(scratch.repository)
    assert (repository.current_branch(), repository.is_dirty()) == ("main", False)
    assert "phasegate.toml" in repository.files(repository.base().commit)
    assert not [path for path in repository.files(repository.base().commit) if "cache" in path]
    assert os.environ["PHASEGATE_HOME"] == str(scratch.settings.home)
    assert scratch.settings.ledger.is_relative_to(scratch.folder)
    assert str(scratch.folder) in scratch.settings.database_url


@pytest.mark.parametrize("name", [acts.FEATURE, acts.BREACH, acts.CHANGE, acts.REMOVAL])
def test_it_has_each_ticket_with_its_script(scratch, name):
    assert scratch.ticket(name).is_file()
    assert scratch.script(name).is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_every_ending_signal_is_an_interruption_and_no_longer_than_the_demo(scratch, number):
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt), nothing_left_running(scratch, keep=False):
        signal.raise_signal(number)
    assert before == [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
