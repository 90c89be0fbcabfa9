"""Tiny lifecycles that between them make every ledger write and every effect, and the person who decides in them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.command_target import OPS
from tests.support.greeter import (
    APPROVER,
    NO_ERRORS,
    POLICY,
    PRD,
    QUICK_GRADES,
    SERVICE,
    STAGES,
    calls,
    edit,
    implementation,
    write_greeter,
)

from phasegate.infra.ledger import Ledger, Run

STEER = "mind the greeting"

_COMMANDS = ("deploy", "weight", "promote", "rollback", "status")
BY_COMMANDS = (
    QUICK_GRADES
    + """[deploy]
target = "command"
[deploy.commands]
@commands@
[[deploy.steps]]
set_weight = 25
[[deploy.steps]]
pause = "50ms"
[[deploy.steps]]
analysis = ["errors"]
[[deploy.steps]]
set_weight = 50
[monitor]
bake = "10ms"
@background@
[[monitor.metrics]]
name = "errors"
source = "command"
command = "cat ../../../../rate.json"
values = ["rate"]
interval = "10ms"
count = 1
success_condition = "rate < 0.01"
failure_condition = "rate > 0.05"
""".replace("@commands@", "\n".join(f'{name} = "WORLD=../../../../world.json {OPS}"' for name in _COMMANDS))
)
"""Released in steps by the team's own commands; files beside the repository stand for its machines and metrics."""
BY_HAND = {"current": "by-hand", "alive": True, "candidates": [], "weight": 0}
MIGRATE = """made=${PHASEGATE_FILES%/releases/*}/migrated
if [ "$PHASEGATE_ACTION" = status ]; then
  state=pending
  if grep -q "^$PHASEGATE_KEY " "$made"; then state=done; fi
  echo "{\\"state\\": \\"$state\\"}"
else
  ! grep -q "$PHASEGATE_ACTION fails" $PHASEGATE_MIGRATION_FILES || exit 1
  echo "$PHASEGATE_KEY $PHASEGATE_ACTION" >> "$made"
fi
"""
"""Makes a migration; what it made stands in a file, a line each."""
MIGRATIONS = """
[deploy.migrations]
expand = "sh migrate.sh"
migrate = "sh migrate.sh"
contract = "sh migrate.sh"
status = "sh migrate.sh 2>/dev/null"
"""


def migrating(greeting: str, says: str, *classes: str) -> dict[str, list[dict[str, Any]]]:
    """Scripted stages of a change that brings a migration along."""
    file = calls("write_file", path="migrations/2.sql", content=says)
    plans = [{"name": f"{name} it", "class": name, "files": ["migrations/2.sql"]} for name in classes]
    return {
        "implementation": [edit("Hello", greeting), file, {"finish": {"summary": greeting}}],
        "deployment": [{"finish": {"summary": "A greeting."}}, {"finish": {"summary": "It.", "migrations": plans}}],
    }


TAKES_ITS_TIME = {"tools": [{"name": "run", "args": {"command": "sleep 0.3"}}]}
ASKS = calls("ask", question="Good day, or good evening?")
LONG = calls("run", command="seq 900")


@dataclass(frozen=True)
class CrashScenario:
    """A lifecycle.

    Attributes:
        name: Its name.
        ends: The status it ends in.
        policy: Added to `POLICY`.
        stages: Scripted turns instead of `STAGES`'.
        approve: Gates that were approved in advance: the person says nothing more.
        answers: The person's actions at a gate (`GATE:ROUND`), in order; `approve` where none is given.
        afterwards: The person's action once the run has stopped.
        paused_in: A stage during whose first attempt the person has the run paused.
        lease: The duration of the engine's leases; it renews them after a quarter of it.
        faults: Faults on the way of the rehearsed answers.
        interrupted_at: The number of the run's model request at which the person says `STEER`, at once.
        window: Tokens of input that each model is taken to have; zero for the defaults.
        setup: True if the project's setup command fails until the person has mended it.
        migrations: The classes of the migrations that are made in the end, in their order.
        merges: The number of merges on the base branch in the end.
        serves: True if a release runs in the end.
        rate: The metrics' value for a project that the team's own commands release in steps; else None.
    """

    name: str
    ends: str
    policy: str = NO_ERRORS
    stages: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    approve: tuple[str, ...] = ()
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    afterwards: str = ""
    paused_in: str = ""
    lease: timedelta = timedelta(minutes=1)
    faults: tuple[Mapping[str, Any], ...] = ()
    interrupted_at: int = 0
    window: int = 0
    setup: bool = False
    migrations: tuple[str, ...] = ()
    merges: int = 1
    serves: bool = False
    rate: float | None = None


SCENES: Mapping[str, CrashScenario] = {
    scene.name: scene
    for scene in (
        CrashScenario("ships", "done", answers={"prd:1": ("steer", "revise")}, serves=True),
        CrashScenario(
            "second attempt",
            "done",
            approve=("prd", "change"),
            stages={
                "implementation": implementation("Good night"),
                "implementation#2": implementation("Good day", "Good night"),
            },
            serves=True,
        ),
        CrashScenario("breaches", "rolled-back", stages={"implementation": implementation("Good day, broken")}),
        CrashScenario("does not come up", "rolled-back", stages={"implementation": implementation("Good day, crash")}),
        CrashScenario(
            "takes its time, and is rejected",
            "rejected",
            stages={"implementation": [TAKES_ITS_TIME, *implementation("Good day")]},
            answers={"release:1": ("reject",)},
            lease=timedelta(milliseconds=400),
        ),
        CrashScenario(
            "is paused at work, and cancelled", "cancelled", answers={"release:1": ("cancel",)}, paused_in="prd"
        ),
        CrashScenario("is rolled back", "rolled-back", afterwards="rollback"),
        CrashScenario(
            "needs an operator",
            "done",
            policy=f"{NO_ERRORS}[lifecycle]\nmax_attempts = 1\n",
            stages={
                "implementation": implementation("Good night"),
                "implementation#2": implementation("Good day", "Good night"),
            },
            afterwards="resume",
            serves=True,
        ),
        CrashScenario("fails", "done", setup=True, afterwards="resume", serves=True),
        CrashScenario(
            "is paused, and promoted",
            "done",
            policy="consecutive_success_limit = 3\n[gates.release]\noff = true\nreason = 'a rehearsal'\n",
            answers={"change:1": ("pause", "approve")},
            serves=True,
        ),
        CrashScenario("breaches in a step", "rolled-back", policy="", rate=0.2),
        CrashScenario("is promoted in a step", "done", policy='background = ["errors"]', rate=0.03, serves=True),
        CrashScenario(
            "expires",
            "done",
            policy=f"{NO_ERRORS}[gates.prd]\nexpires = '1s'\n",
            answers={"prd:1": ("expire",)},
            serves=True,
        ),
        CrashScenario(
            "asks for words, a permission and more of a budget",
            "done",
            policy=f"{NO_ERRORS}[permissions.commands]\nask = ['touch']\n[budget.stages.implementation]\nturns = 2\n",
            stages={
                "prd": [ASKS, {"expect": "Good day, always", "finish": PRD}],
                "implementation": [calls("run", command="touch asked"), *implementation("Good day")],
            },
            serves=True,
        ),
        CrashScenario(
            "is interrupted, and long",
            "done",
            stages={"implementation": [LONG, *implementation("Good day")]},
            faults=({"stage": "prd", "turn": 2, "kind": "slow", "seconds": 3},),
            interrupted_at=2,
            window=2500,
            serves=True,
        ),
        CrashScenario(
            "migrates",
            "done",
            policy=NO_ERRORS + MIGRATIONS,
            stages=migrating("Good day", "ALTER TABLE greetings", "contract", "expand", "migrate"),
            migrations=("expand", "migrate", "contract"),
            serves=True,
        ),
        CrashScenario(
            "cannot migrate, and goes back",
            "rolled-back",
            policy=NO_ERRORS + MIGRATIONS,
            stages=migrating("Good day", "migrate fails", "expand", "migrate"),
            afterwards="rollback",
            migrations=("expand",),
        ),
        CrashScenario(
            "breaches past a migration",
            "needs-operator",
            policy=NO_ERRORS + MIGRATIONS,
            stages={
                **migrating("Good day, broken", "UPDATE greetings", "migrate", "contract"),
                "monitoring": STAGES["monitoring"],
            },
            migrations=("migrate",),
            serves=True,
        ),
        CrashScenario(
            "is merged into a branch that moves",
            "done",
            stages={
                "implementation": [
                    calls("edit_file", path="serve.py", old="import socket, sys", new="import sys, socket"),
                    *implementation("Good day"),
                ],
            },
            answers={"change:1": ("move next to it", "approve"), "change:2": ("move elsewhere", "approve")},
            serves=True,
        ),
    )
}
MOVES: Mapping[str, tuple[str, str]] = {
    "move next to it": ("serve.py", SERVICE.replace("sys.exit(3)", "sys.exit(4)")),
    "move elsewhere": ("other.txt", "other\n"),
}
"""File that the branch gets meanwhile, and its content."""


def move_branch(top: Path, name: str, path: str, content: str) -> str:
    """Commit to the integration branch, once, as another run's merge would: the user's own branch and files stay."""

    def git(*words: str, stdin: str = "", **environment: str) -> str:
        known = {**os.environ, **environment}
        done = subprocess.run(
            ["git", *words], cwd=top, input=stdin, check=True, capture_output=True, text=True, env=known
        )
        return done.stdout.strip()

    branch = "refs/heads/phasegate/main"
    tip = git("for-each-ref", "--format=%(objectname)", branch) or git("rev-parse", "main")
    if name in git("log", "--format=%s", tip).splitlines():
        return tip
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")
        git("read-tree", tip, GIT_INDEX_FILE=index)
        blob = git("hash-object", "-w", "--stdin", stdin=content)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", GIT_INDEX_FILE=index)
        tree = git("write-tree", GIT_INDEX_FILE=index)
    identity = ("-c", "user.name=dev", "-c", "user.email=dev@example.org")
    moved = git(*identity, "commit-tree", tree, "-p", tip, "-m", name)
    git("update-ref", branch, moved)
    return moved


def write_project(folder: Path, scene: CrashScenario) -> None:
    """A greeter with something uncommitted in it, a ticket and a script."""
    policy = POLICY + scene.policy if scene.rate is None else BY_COMMANDS.replace("@background@", scene.policy)
    if scene.setup:
        policy = policy.replace("[project]\n", "[project]\nsetup = 'test -e \"$HOME/mended\"'\n")
    top = write_greeter(folder, policy=policy, stages=scene.stages, files={"migrate.sh": MIGRATE}, faults=scene.faults)
    if scene.rate is not None:
        (folder / "rate.json").write_text(json.dumps({"rate": scene.rate}))
        (folder / "world.json").write_text(json.dumps(BY_HAND))
    (top / "notes.txt").write_text("mine\n")
    (top / "tests" / "plain.sh").write_text("test -s greeting.txt # mine, too\n")


class ScenePerson:
    """Does what the scene says, each thing once: what was done is read from the ledger, so a crash forgets nothing."""

    def __init__(self, scene: CrashScenario, ledger: Ledger, folder: Path) -> None:
        """Act on a ledger."""
        self._scene, self._ledger, self._folder = scene, ledger, folder

    def answer(self, run_id: str, key: str, decided: Callable[[], bool]) -> None:
        """Do what lets a waiting run continue."""
        if key == "pause":
            self._ledger.runs.resume(run_id, actor=APPROVER.name)
            return
        if key == "question":
            while self._ledger.questions.open(run_id):
                self._ledger.questions.answer(run_id, "Good day, always", person=APPROVER.name)
            return
        _, gate, number, _ = key.split(":")
        if gate in self._scene.approve:
            return
        answers = self._scene.answers.get(f"{gate}:{number}", ("approve",))
        for answer in answers:
            if decided():
                return
            self._do(run_id, gate, int(number), answer, decided)

    def watch(self, stage: str, number: int) -> None:
        """See that a stage is tried."""
        (run,) = self._ledger.runs.list()
        if (stage, number) == (self._scene.paused_in, 1) and not self._happened(run.id, "run.pause-requested"):
            self._ledger.runs.ask(run.id, "pause", actor=APPROVER.name)

    def glance(self, run: Run) -> None:
        """See that models are asked."""
        at, log = self._scene.interrupted_at, self._folder / "requests.log"
        asked = len(log.read_text().splitlines()) if at and log.exists() else 0
        if at and asked >= at and not self._ledger.messages.list(run.id):
            self._ledger.messages.queue(run.id, STEER, sender=APPROVER.name, urgent=True)

    def answer_cold(self, run: Run) -> None:
        """Answer a waiting run that no engine owns."""
        if run.status == "paused":
            self._ledger.runs.resume(run.id, actor=APPROVER.name)
        self.answer(run.id, "question", lambda: False)
        for gate in self._ledger.gates.waiting(run.id):
            self.answer(run.id, f"gate:{gate.gate}:{gate.number}:cold", partial(self._is_over, run.id, gate.id))

    def _is_over(self, run_id: str, gate_id: str) -> bool:
        gate = self._ledger.gates.get(gate_id)
        return (
            bool(self._ledger.runs.get(run_id).request) or gate.status != "open" or self._ledger.gates.has_expired(gate)
        )

    def after(self, run: Run) -> bool:
        """Act on a run that has stopped.

        Returns:
            False if there is nothing left to do.
        """
        if self._scene.afterwards == "rollback" and not self._happened(run.id, "run.rollback-requested"):
            self._ledger.runs.ask(run.id, "rollback", actor=APPROVER.name)
            return True
        if self._scene.afterwards == "resume" and run.status in {"failed", "needs-operator"}:
            (self._folder / "home" / "home" / "mended").touch()
            self._ledger.runs.resume(run.id, actor=APPROVER.name)
            return True
        return False

    def _do(self, run_id: str, gate: str, number: int, answer: str, decided: Callable[[], bool]) -> None:
        rows = [row for row in self._ledger.gates.list(run_id) if (row.gate, row.number) == (gate, number)]
        match answer:
            case "steer":
                if not self._ledger.messages.list(run_id):
                    self._ledger.messages.queue(run_id, STEER, sender=APPROVER.name)
            case "pause":
                if not self._happened(run_id, "run.pause-requested"):
                    self._ledger.runs.ask(run_id, "pause", actor=APPROVER.name)
            case "cancel":
                self._ledger.runs.ask(run_id, "cancel", actor=APPROVER.name)
            case "expire" if len(rows) == 1:
                while not decided():
                    time.sleep(0.02)
            case _ if answer in MOVES:
                move_branch(self._folder / "greeter", answer, *MOVES[answer])
            case "revise" | "reject":
                self._ledger.gates.decide(rows[-1].id, answer, APPROVER, note="as the scene says")
            case _:
                self._ledger.gates.decide(rows[-1].id, "approve", APPROVER)

    def _happened(self, run_id: str, kind: str) -> bool:
        return any(event.kind == kind for event in self._ledger.events(run_id))
