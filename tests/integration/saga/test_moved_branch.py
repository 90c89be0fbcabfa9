"""P14: a base branch that moves between a run's base commit and its merge, without Prefect."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.crash.scenes import SCENES, move_branch, write_project
from tests.support.greeter import SERVICE, calls, implementation
from tests.support.lifecycle import LifecycleHarness
from typing_extensions import override

from phasegate.flows.cli.views.diff import read_change
from phasegate.flows.engine.resources import open_resources
from phasegate.flows.engine.wakeups import Decided
from phasegate.flows.lifecycle.context import RunContext
from phasegate.flows.lifecycle.effects.performers import Facts, MergePerformer
from phasegate.flows.runs.checkpoints import checkpoints, plan_rewind
from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.ledger import Run
from phasegate.infra.settings import Settings

Result = TypeVar("Result")

QUICKLY = "[grading]\nablation_time = '0s'\ncoverage = false\n"
UP_TO_TESTING = '[lifecycle]\nstages = ["prd", "implementation", "testing"]\n'
SEALED = {
    "path": "tests/polite.sh",
    "content": 'grep -q "Good day" greeting.txt && ! test -e silent.txt\n',
    "criteria": ["AC1"],
}
NEAR = SERVICE.replace("sys.exit(3)", "sys.exit(4)")
"""Lines that `serve.py` gets next to the change's."""
SCENE = replace(
    SCENES["ships"],
    stages={
        "testing": [{"finish": {"files": [SEALED]}}],
        "implementation": [
            calls("edit_file", path="serve.py", old="import socket, sys", new="import sys, socket"),
            *implementation("Good day"),
        ],
    },
)


@dataclass
class MovingHouse(LifecycleHarness):
    """A machine on which the team commits meanwhile.

    Attributes:
        before: What happens before a gate (`change:1`) is approved.
        after: What happens after each try of a stage (`testing regrading`), with the try's number.
    """

    before: dict[str, Callable[[], object]] = field(default_factory=dict[str, Callable[[], object]])
    after: dict[str, Callable[[int], object]] = field(default_factory=dict[str, Callable[[int], object]])

    @override
    async def wait_until(
        self, key: str, *, run_id: str, decided: Decided, settings: Settings, in_process: bool = False
    ) -> None:
        self.before.get(":".join(key.split(":")[1:3]), list)()
        await super().wait_until(key, run_id=run_id, decided=decided, settings=settings, in_process=in_process)

    @override
    async def run_stage(self, name: str, number: int, work: Callable[[], Awaitable[Result]]) -> Result:
        made = await work()
        self.after.get(name, bool)(number)
        return made

    def move(self, name: str, path: str = "", content: str = "") -> str:
        """The branch gets a commit."""
        return move_branch(self.folder / "greeter", name, path or f"{name}.txt", content or f"{name}\n")

    def grades(self, run: Run) -> list[Evidence]:
        """The grades of merged trees."""
        made = [one for one in self.ledger.attempts.list(run.id) if one.part == "regrading" and one.artifact]
        return [self.ledger.artifacts.get(one.artifact or "", Evidence) for one in made]

    def effects(self, run: Run) -> list[tuple[str, str, str]]:
        """Each effect's name, status and tree."""
        made = self.ledger.effects.list(run.id)
        return [(one.key.partition("/")[2], one.status, str(one.intent.get("tree", ""))) for one in made]

    def git(self, *words: str) -> str:
        """Answer of git."""
        top = self.folder / "greeter"
        return subprocess.run(["git", *words], cwd=top, check=True, capture_output=True, text=True).stdout.strip()


def write_quickly_graded(folder: Path, policy: str) -> None:
    write_project(folder, replace(SCENE, policy=policy))
    top = folder / "greeter"
    known = (top / "phasegate.toml").read_text()
    (top / "phasegate.toml").write_text(known.replace("[grading]\n", QUICKLY))
    subprocess.run(["git", "commit", "-qm", "Grade quickly", "--", "phasegate.toml"], cwd=top, check=True)


@asynccontextmanager
async def open_lifecycle(folder: Path, policy: str) -> AsyncGenerator[MovingHouse]:
    write_quickly_graded(folder, policy)
    settings = Settings(home=folder / "home")
    settings.create_folders()
    async with open_resources(settings) as shared:
        house = MovingHouse(folder, shared)
        shared.http.event_hooks["request"].append(house.count)
        yield house
        for state in services(settings.home):
            await stop_service(settings.home, state.service)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[MovingHouse]:
    """A machine whose runs end once the change is in."""
    async with open_lifecycle(tmp_path, UP_TO_TESTING) as made:
        yield made


@pytest.fixture
async def shipping(tmp_path: Path) -> AsyncGenerator[MovingHouse]:
    """A machine whose runs end with a service."""
    async with open_lifecycle(tmp_path, SCENE.policy) as made:
        yield made


async def test_an_approval_carries_over_and_what_was_graded_is_released(shipping: MovingHouse) -> None:
    house = shipping
    house.before = {"change:1": lambda: house.move("elsewhere")}
    run = await house.run()
    assert run.status == "done", run.reason
    (grade,) = house.grades(run)
    assert grade.move is not None
    assert (grade.verdict, grade.move.carries_over, grade.move.number) == ("passed", True, 1)
    assert house.effects(run)[0] == ("merge", "done", grade.tree)
    merged = house.git("rev-parse", "phasegate/main^{tree}", "phasegate/main^1", "phasegate/main^2^{tree}").split()
    assert merged == [grade.tree, grade.move.head, grade.tree]
    assert [key.split(":")[1:3] for key in house.gates] == [["prd", "1"], ["change", "1"], ["release", "1"]]
    assert read_change(house.ledger, run).text == house.git("diff", grade.move.head, "phasegate/main") + "\n"
    (carried,) = [event.payload for event in house.ledger.events(run.id) if event.kind == "approval.carried"]
    assert (carried["tree"], carried["head"]) == (grade.tree, grade.move.head)
    house.ledger.audit(run.id)

    rehearsal = await house.again(run, rehearse=True)
    assert (rehearsal.status, (rehearsal.reason or {}).get("code")) == ("done", "same"), rehearsal.reason
    again = await house.again(run, "monitoring")
    assert again.status == "done", again.reason
    assert {one.origin for one in house.ledger.attempts.list(again.id) if one.part == "regrading"} != {""}
    assert house.git("rev-parse", "phasegate/main^{tree}") == grade.tree


async def test_a_branch_that_stands_still_is_merged_as_ever(house: MovingHouse) -> None:
    run = await house.run()
    assert run.status == "done", run.reason
    assert house.grades(run) == []
    looked = [event.payload["name"] for event in house.ledger.events(run.id) if event.kind == "stage.observed"]
    assert looked == ["base"]


async def test_a_branch_that_moves_while_it_is_graded_is_graded_again(house: MovingHouse) -> None:
    house.before = {"change:1": lambda: house.move("first")}
    house.after = {"testing regrading": lambda number: number == 1 and house.move("second")}
    run = await house.run()
    assert run.status == "done", run.reason
    grades = house.grades(run)
    assert [grade.move and grade.move.number for grade in grades] == [1, 2]
    assert house.effects(run) == [("merge", "done", grades[-1].tree)]
    assert house.git("rev-parse", "phasegate/main^{tree}") == grades[-1].tree
    house.ledger.audit(run.id)


async def test_a_move_at_the_last_moment_calls_the_merge_off(
    house: MovingHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent of the graded tree is recorded, and no other tree is merged under it."""
    real = MergePerformer.make
    moved: list[str] = []

    async def late(self: MergePerformer, run: RunContext, key: str, intent: Mapping[str, Any]) -> Facts:
        if not moved:
            moved.append(house.move("last"))
        return await real(self, run, key, intent)

    monkeypatch.setattr(MergePerformer, "make", late)
    run = await house.run()
    assert run.status == "done", run.reason
    (grade,) = house.grades(run)
    first, second = house.effects(run)
    assert (first[:2], second) == (("merge", "undone"), ("merge.2", "done", grade.tree))
    assert first[2] != grade.tree
    assert grade.move is not None
    assert grade.move.head == moved[0]
    back = checkpoints(house.ledger, run)
    plan = plan_rewind(house.ledger, run, next(one.id for one in back if one.what.startswith("change approve")))
    assert [effect.key for effect in plan.effects] == [f"{run.id}/merge.2"]
    house.ledger.audit(run.id)

    house.ledger.runs.ask(run.id, "rollback", actor="ana")
    run = await house.carry(run)
    assert run.status == "rolled-back", run.reason
    assert house.git("rev-parse", "phasegate/main^{tree}") == house.git("rev-parse", f"{moved[0]}^{{tree}}")


@pytest.mark.parametrize("off", [False, True], ids=["asked at", "off"])
async def test_after_three_moves_a_person_is_asked(tmp_path: Path, off: bool) -> None:
    policy = "[gates.change]\noff = true\nreason = 'trusted'\n" if off else ""
    async with open_lifecycle(tmp_path, UP_TO_TESTING + policy) as house:
        house.after = {
            "testing grading": lambda _: house.move("one"),
            "testing regrading": lambda number: number < 3 and house.move(f"more{number}"),
        }
        run = await house.run()
        assert run.status == "done", run.reason
        assert [grade.move and grade.move.number for grade in house.grades(run)] == [1, 2, 3]
        asked = [key.split(":")[1:3] for key in house.gates if ":change:" in key]
        assert asked == [["change", "2"]] if off else [["change", "1"], ["change", "2"]]
        assert house.git("rev-parse", "phasegate/main^{tree}") == house.grades(run)[-1].tree


@dataclass(frozen=True)
class Lapse:
    """A move after which an approval does not hold.

    Attributes:
        id: For people.
        path: What the branch gets.
        content: Its content.
        verdict: The grade of the merged tree.
        says: A part of the reason.
    """

    id: str
    path: str
    content: str
    verdict: str
    says: str


@pytest.mark.parametrize(
    "lapse",
    [
        Lapse("another patch", "serve.py", NEAR, "passed", "another patch"),
        Lapse("a regression", "tests/hello.sh", "grep -q Hello greeting.txt\n", "failed", "*failed*"),
        Lapse("proven already", "tests/plain.sh", "exit 1\n", "unguarded", "*unguarded*"),
    ],
    ids=lambda lapse: lapse.id,
)
async def test_the_gate_asks_anew_where_not_all_is_as_it_was_approved(house: MovingHouse, lapse: Lapse) -> None:
    def move_and_leave() -> None:
        house.move("meanwhile", lapse.path, lapse.content)

    def stop_answering() -> None:
        house.answering = False

    house.before = {"change:1": move_and_leave, "change:2": stop_answering}
    run = await house.run()
    (grade,) = house.grades(run)
    assert (run.status, grade.verdict) == ("waiting", lapse.verdict), run.reason
    assert lapse.says in grade.markdown()
    (gate,) = house.ledger.gates.waiting(run.id)
    assert (gate.gate, gate.number, gate.subject["evidence"]) == ("change", 2, grade.digest)
    assert house.effects(run) == []
    assert "approval.lapsed" in house.kinds(run)
    assert len([one for one in house.ledger.attempts.list(run.id) if one.stage == "implementation"]) == 1
    house.answering, house.before = True, {}
    if lapse.verdict != "failed":
        run = await house.carry(run)
        assert run.status == "done", run.reason
        assert house.git("rev-parse", "phasegate/main^{tree}") == grade.tree
    house.ledger.audit(run.id)


@dataclass(frozen=True)
class Clash:
    """A move with which the change does not go in.

    Attributes:
        id: For people.
        path: What the branch gets.
        content: Its content.
        says: Parts of the reason.
        mended: The content with which it goes in.
    """

    id: str
    path: str
    content: str
    says: tuple[str, ...]
    mended: str


@pytest.mark.parametrize(
    "clash",
    [
        Clash("a conflict", "greeting.txt", "Hullo\n", ("conflicts", "greeting.txt", "meanwhile"), "Hello\n"),
        Clash("a sealed name", "tests/polite.sh", "true\n", ("tests/polite.sh", "sealed tests"), ""),
        Clash("a criterion", "silent.txt", "hush\n", ("AC1", "fails on main as it is now"), ""),
    ],
    ids=lambda clash: clash.id,
)
async def test_a_clash_is_told_to_a_person_and_charges_nobody(house: MovingHouse, clash: Clash) -> None:
    house.before = {"change:1": lambda: house.move("meanwhile", clash.path, clash.content)}
    run = await house.run()
    assert run.status == "needs-operator", run.reason
    reason = run.reason or {}
    assert [part for part in clash.says if part not in reason["message"]] == []
    assert f"phasegate resume {run.id}" in reason["remedy"]
    house.ledger.runs.resume(run.id, actor="ana")
    run = await house.carry(run)
    assert run.status == "needs-operator", run.reason
    house.git("update-ref", "refs/heads/phasegate/main", house.git("rev-parse", "main"))
    if clash.mended:
        house.move("mended", clash.path, clash.mended)
    house.ledger.runs.resume(run.id, actor="ana")
    run = await house.carry(run)
    assert run.status == "done", run.reason
    implementations = [one for one in house.ledger.attempts.list(run.id) if one.stage == "implementation"]
    assert [one.number for one in implementations] == [1]
    house.ledger.audit(run.id)
