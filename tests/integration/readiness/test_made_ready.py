"""Worktree prepared for the next stage while a person thinks: used after yes, gone after no."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import yaml
from tests.acceptance.lifecycle.conftest import APP, NEW, OLD, PRD_TURNS, SIGNATURE, TICKET, edit, git
from tests.crash.engine import PlainEngine
from tests.support.repositories import first_commit
from typing_extensions import override

from phasegate.flows.engine.engine import Engine
from phasegate.flows.engine.executor import InProcessExecutor
from phasegate.flows.engine.reconciler import serve
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.worktree import RunWorktree
from phasegate.flows.runs.kickoff import KickoffRequest, kick_off
from phasegate.infra.identity import Person
from phasegate.infra.ledger import ENDED, Ledger, Verdict
from phasegate.infra.settings import Settings
from phasegate.infra.workspace import Repository, Workspace

Result = TypeVar("Result")

ANA = Person("ana", "local")
POLICY = (
    '[project]\ntest = "true {junit}"\n[lifecycle]\nstages = ["prd", "implementation"]\n[sandbox]\nbackend = "none"\n'
)
CHANGE = [SIGNATURE, edit("app.py", OLD, NEW), {"finish": {"summary": "greet takes polite"}}]


class SlowPerson(InProcessExecutor):
    """Executes a run in this process; its person answers once the worktree exists, or after a while without one."""

    def __init__(self, ledger: Ledger, work: Callable[[str], Path], verdicts: dict[str, Verdict]) -> None:
        super().__init__()
        self._ledger, self._work, self._verdicts = ledger, work, verdicts
        self.seen: dict[str, int | None] = {}

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        mark = self._work(run_id).with_name("work.is-set-up")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_until(mark.exists), 5)
        gate = self._ledger.gates.waiting(run_id)[0]
        self.seen[gate.gate] = mark.parent.joinpath("work").stat().st_ino if mark.exists() else None
        self._ledger.gates.decide(gate.id, self._verdicts[gate.gate], ANA)
        assert decided()


async def _until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110 -- a file appears without a sign
        await asyncio.sleep(0.01)


class Place:
    """A committed project and a state folder."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "greeter"
        self.top.mkdir()
        (self.top / "app.py").write_text(APP)
        (self.top / "phasegate.toml").write_text(POLICY)
        first_commit(self.top)
        (folder / "ticket.md").write_text(TICKET)
        script = {"version": 1, "stages": {"prd": PRD_TURNS, "implementation": CHANGE}}
        (folder / "script.yaml").write_text(yaml.safe_dump(script))
        self.request = KickoffRequest(str(folder / "ticket.md"), self.top, rehearsal=folder / "script.yaml")
        self.settings = Settings(home=folder / "home")
        self.settings.create_folders()
        self.ledger = Ledger.open(self.settings.database_url)

    def work(self, run_id: str) -> Path:
        return self.settings.workspaces / run_id / "work"

    def refs(self, run_id: str) -> list[str]:
        names = git(self.top, "for-each-ref", "--format=%(refname)").split()
        return [name for name in names if run_id in name and not name.endswith("/head")]

    @asynccontextmanager
    async def engine(self, **verdicts: Verdict) -> AsyncIterator[SlowPerson]:
        person = SlowPerson(self.ledger, self.work, verdicts)
        service = asyncio.create_task(serve(cast("Engine", PlainEngine(self.settings, person))))
        try:
            yield person
        finally:
            service.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await service

    async def play(self) -> str:
        run = kick_off(
            self.request, ledger=self.ledger, settings=self.settings, person=ANA, environment={}, stdin=bytes
        ).id
        await asyncio.wait_for(_until(lambda: self.ledger.runs.get(run).status in {*ENDED, "failed"}), 30)
        return run


async def test_after_a_yes_the_agent_works_in_what_was_made_ready(tmp_path: Path) -> None:
    """Mutation tried: `draft_prd` without `prepare_worktree`; no worktree stands while the person thinks."""
    place = Place(tmp_path)
    async with place.engine(prd="approve", change="approve") as person:
        run = await place.play()
    assert place.ledger.runs.get(run).status == "done"
    assert person.seen["prd"] is not None
    assert person.seen["prd"] == person.seen["change"]
    assert place.ledger.audit(run).events > 0


async def test_after_a_no_nothing_of_it_is_left(tmp_path: Path) -> None:
    """Mutation tried: `_run_and_record` without `discard_unused_worktree`; folder, branch and ref stay."""
    place = Place(tmp_path)
    async with place.engine(prd="reject") as person:
        run = await place.play()
    assert place.ledger.runs.get(run).status == "rejected"
    assert person.seen["prd"] is not None
    assert not place.work(run).exists()
    assert place.refs(run) == []
    assert len(git(place.top, "worktree", "list").splitlines()) == 1
    assert place.ledger.attempts.find(f"{run}/implementation/1") is None


async def test_a_no_to_the_change_keeps_what_the_agent_made(tmp_path: Path) -> None:
    """P9. Mutation tried: `discard_unused` without asking whether an agent has begun; the change's branch is gone."""
    place = Place(tmp_path)
    async with place.engine(prd="approve", change="reject"):
        run = await place.play()
    assert place.ledger.runs.get(run).status == "rejected"
    assert "polite" in git(place.top, "show", f"refs/heads/phasegate/{run}:app.py")
    assert f"refs/heads/phasegate/{run}" in place.refs(run)


def _worktree(place: Place, setups: list[Path]) -> RunWorktree:
    repository = Repository.open(place.top)
    base = repository.base("main").commit
    folder = place.work("run-1")

    async def set_up(where: Path) -> None:
        setups.append(where)

    return RunWorktree(folder, partial(Workspace.create, repository, "run-1", base, folder), set_up)


async def test_what_another_life_made_ready_is_found(tmp_path: Path) -> None:
    place, setups = Place(tmp_path), list[Path]()
    await _worktree(place, setups).prepare()
    second = _worktree(place, setups)
    workspace = await second.set_up()
    assert setups == [workspace.folder]
    assert workspace.untouched() == workspace.base_commit


async def test_a_life_that_ends_meanwhile_leaves_what_the_next_one_can_use(tmp_path: Path) -> None:
    """Mutation tried: `uninterrupted` without waiting for its thread; the second life collides with the first's git."""
    place, setups = Place(tmp_path), list[Path]()
    for _ in range(5):
        first = _worktree(place, setups)
        task = first.prepare()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        second = _worktree(place, setups)
        assert (await second.set_up()).untouched() is not None
        await second.discard_unused()
        assert place.refs("run-1") == []


async def test_one_that_vanished_is_made_anew(tmp_path: Path) -> None:
    """Mutation tried: `set_up` without `is_there`; the agent is given a folder that is not there."""
    place, setups = Place(tmp_path), list[Path]()
    worktree = _worktree(place, setups)
    await worktree.prepare()
    shutil.rmtree(place.work("run-1"))
    assert (await worktree.set_up()).untouched() is not None


async def test_it_is_untouched_only_until_somebody_is_told(tmp_path: Path) -> None:
    place, setups = Place(tmp_path), list[Path]()
    worktree = _worktree(place, setups)
    await worktree.prepare()
    workspace = await worktree.set_up()
    assert worktree.take_clean_commit() == workspace.base_commit
    assert worktree.take_clean_commit() == ""
    (workspace.folder / "app.py").write_text("changed")
    assert workspace.untouched() is None
