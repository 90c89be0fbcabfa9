"""A machine with a ledger that was filled through its own API, and the command line as a person calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from phasegate.agents.prd import Prd
from phasegate.flows.cli import main
from phasegate.flows.cli.actions import handoff
from phasegate.flows.engine import control
from phasegate.flows.runs.inputs import StoredPolicy
from phasegate.infra.artifacts import Artifact
from phasegate.infra.identity import local_person
from phasegate.infra.ledger import Attempt, Gate, Lease, Ledger, Run, RunOptions, Usage
from phasegate.infra.policy.model import Policy
from phasegate.infra.settings import Settings

HOSTILE = "[bold red]Links[/] that \x1b]0;owned\x07 expire\u202e"
"""A title that would change a careless terminal."""


class SampleTicket(Artifact):
    kind: ClassVar[str] = "ticket"

    title: str
    body: str = ""


@dataclass
class Answer:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class CliHarness:
    """A state folder, and calls that fill its ledger."""

    home: Path
    ledger: Ledger
    count: int = field(default=0)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    def accept(
        self,
        *,
        title: str = HOSTILE,
        options: RunOptions | None = None,
        policy: Policy | None = None,
        base_commit: str = "0" * 40,
        repository: Path | None = None,
    ) -> Run:
        self.count += 1
        return self.ledger.runs.accept(
            f"run-{self.count}aaaaaaaaaaa",
            title=title,
            ticket=SampleTicket(title=title),
            policy=StoredPolicy(policy=policy or Policy.model_validate({"deploy": {"start": "serve {port}"}})),
            repository=str(repository or self.home),
            base_branch="main",
            base_commit=base_commit,
            requester=local_person().name,
            options=options or RunOptions(),
            definition="1",
        )

    def attempt(self, run: Run, stage: str, artifact: Artifact | None = None) -> Attempt:
        number = 1 + sum(known.stage == stage for known in self.ledger.attempts.list(run.id))
        attempt, lease = self.ledger.attempts.begin(
            run.id, stage, "", number, inputs={}, model="openai:gpt-5.3-codex", prompt="sha256:0", holder="here/1"
        )
        assert isinstance(lease, Lease)
        self.turn(attempt, 1)
        return attempt if artifact is None else self.ledger.attempts.finish(attempt, lease, artifact)

    def turn(self, attempt: Attempt, turn: int, *, cost_usd: float | None = None) -> None:
        self.ledger.exchanges.record(
            attempt,
            turn,
            model=attempt.model,
            request=b"{}",
            previous=b"",
            reply={"text": "I read \x1b[2Jfirst.", "calls": [{"name": "read_file", "args": {"path": "app.py"}}]},
            response="",
            usage=Usage(turns=1, input_tokens=100, output_tokens=20),
            cost_usd=cost_usd,
            latency_seconds=0.1,
        )

    def open_gate(self, run: Run, gate: str, subject: Artifact, *, number: int = 1) -> Gate:
        return self.ledger.gates.open(
            run,
            gate,
            number,
            subject={subject.kind: subject.digest, "policy": run.policy},
            waits=gate not in run.options.approve,
        )

    def at_prd_gate(self, **accepting: Any) -> tuple[Run, Gate]:
        run = self.accept(**accepting)
        prd = Prd.model_validate(
            {
                "title": "Links that expire",
                "summary": "From then on they answer 410. &#x202e;[bold]no markup[/]",
                "acceptance_criteria": [{"id": "AC1", "statement": "GET answers 410\x1b[1A"}],
            }
        )
        self.attempt(run, "prd", prd)
        gate = self.open_gate(run, "prd", prd)
        self.ledger.gates.record_shown(gate, local_person().name)
        return run, gate

    def status_of(self, run: Run) -> str:
        return self.ledger.runs.get(run.id).status


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[CliHarness]:
    home = tmp_path / "home"
    settings = Settings(home=home)
    settings.create_folders()
    ledger = Ledger.open(settings.database_url)
    yield CliHarness(home, ledger)
    ledger.close()


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs the engine was told of. What a real engine does with it is tested end to end."""
    told: list[str] = []
    monkeypatch.setattr(handoff, "ensure_engine", lambda *_, **__: None)
    monkeypatch.setattr(control, "wake", lambda _, run_id: told.append(run_id))
    monkeypatch.setattr(handoff, "engine_alive", lambda _: True)
    return told


@pytest.fixture
def phasegate(
    scene: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Call the command line as a shell would, in this process, with no terminal."""
    monkeypatch.setenv("PHASEGATE_HOME", str(scene.home))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(words)
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, said.out, said.err)

    return call
