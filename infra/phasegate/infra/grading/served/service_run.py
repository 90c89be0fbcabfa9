"""Served twins of a tree: starts of its service in the sandbox, each from a fresh copy of a checkout, and its answers.

Called by `served_check`. A copy looks like a release's, or like what tests run in; what a service answers and writes is
untrusted. It must not know what a difference means.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from phasegate.infra.documents.bounds import MIB, DocumentBounds
from phasegate.infra.documents.json_text import read_json
from phasegate.infra.grading.runner.layers import Origin
from phasegate.infra.grading.runner.runner import Bench, Checkout, Prepared
from phasegate.infra.grading.served.exchanges import Conversation, ServedAnswer, ServedRequest, decoded, pairs
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.tree.planted_names import WORDS
from phasegate.infra.sandbox import run_with_services
from phasegate.infra.system.ports import STABLE
from phasegate.infra.system.trees import remove_tree

_BOUNDS = DocumentBounds(size=64 * MIB, values=2_000_000)
_SCRIPT = Path(__file__).parent / "scripts" / "ask.py"
_LIMIT = 16 * 1024 * 1024
_SECONDS = 60.0
"""Time for all conversations of one start."""
REQUEST_SECONDS = 10.0
LATE = "it did not end in time"
"""Error of an answer that took longer than its limit."""
BROKEN_OFF = "it broke off what it was asked with"
"""Reason of a start whose result is missing, since the service ended or stopped what asks it."""
SPENT = "it left too many requests without an answer before"
"""Reason of a start that is left out."""
_MOST_LATE = 2
"""Conversations of one start that may end without an answer in time."""
_PATIENCE = 40.0
"""Seconds, in sum of all starts of a tree, that are waited for answers which do not come."""
_SHORTEST_START = 30.0
_LOG = 2_000
_AROUND = timedelta(seconds=60)
_EPHEMERAL = (0, 0)
"""Ports of servers of tests: the system chooses one."""
_RELEASED = (STABLE[0], STABLE[-1])
"""Ports that releases get whose policy names none."""
_ALWAYS_HANDED_ON = ("PATH", "HOME", "LANG")
_RUNNERS_LOADED = """\
import importlib.machinery
import os
import sys
import types

for name in ("unittest", "unittest.mock", "_pytest", "pytest"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = types.ModuleType(name)
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
other = importlib.machinery.PathFinder.find_spec("sitecustomize")
if other and other.loader:
    other.loader.exec_module(sys.modules["sitecustomize"])
"""
MARKS = {
    "CI": "true",
    "JEST_WORKER_ID": "1",
    "NODE_ENV": "test",
    "NODE_TEST_CONTEXT": "child-v8",
    "PYTEST_CURRENT_TEST": "tests/test_service.py::test_answers (call)",
    "PYTEST_VERSION": "8.4.1",
    "VITEST": "true",
    "VITEST_WORKER_ID": "1",
    "npm_lifecycle_event": "test",
}
"""Variables that runners leave to be seen."""


@dataclass(frozen=True)
class Surroundings:
    """Traits of one start that code can tell."""

    marks: frozenset[str] = frozenset()
    """Names of `MARKS`."""
    is_loaded: bool = False
    """True for a process with test runners loaded, below a parent named like one."""
    is_git: bool = False
    """True to leave `.git` in the checkout."""
    is_moved: bool = False
    """True for a folder other than the one that tests run in."""
    age: float = 0
    """Seconds between the first healthy answer and the first request."""
    rounds: int = 0
    """Times that requests which only read are repeated; 0: not at all."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    limit: float = REQUEST_SECONDS
    """Seconds after which a request has no answer."""


WATCHED = Surroundings(marks=frozenset(MARKS), is_loaded=True, is_git=True)


@dataclass(frozen=True)
class Decay:
    """Answer that was the same at first, and later never again."""

    conversation: int
    round: int
    answer: ServedAnswer


@dataclass(frozen=True)
class Asked:
    """Result of one start."""

    answers: tuple[tuple[ServedAnswer, ...], ...] = ()
    """Of the conversations, in their order; those that the time did not suffice for are missing."""
    why: str = ""
    """Reason why the service did not come up; empty: it did."""
    log: str = ""
    """The end of its output."""
    decays: tuple[Decay, ...] = ()
    root: str = ""
    """Its folder."""
    is_silent: bool = False
    """True if it answered nothing more in the end, though it had become healthy."""

    @property
    def is_up(self) -> bool:
        """True if it became healthy."""
        return not self.why


@dataclass
class Waits:
    """Seconds that were lost, in all starts of a tree, by waiting for answers that did not come."""

    seconds: float = 0

    def add(self, asked: Asked, around: Surroundings) -> None:
        """Add what one start lost."""
        self.seconds += around.limit * sum(answer.error == LATE for part in asked.answers for answer in part)
        self.seconds += _PATIENCE * (asked.why == BROKEN_OFF)


@dataclass(frozen=True)
class Twin:
    """A tree whose service can be started again and again, each time from the same state."""

    bench: Bench
    ready: Prepared
    pristine: Path
    waits: Waits = field(default_factory=Waits)

    async def ask(
        self,
        around: Surroundings,
        conversations: Sequence[Conversation],
        *,
        patience: float = 1,
        is_needed: bool = False,
    ) -> Asked:
        """Start the service, send the conversations and end it; leave it out if too much time was lost by waiting.

        Args:
            around: Traits of the start.
            conversations: Requests to send.
            patience: Factor on the time that it may take to come up.
            is_needed: True for a start that is not left out.

        Raises:
            ServiceFailed: A service beside it does not come up.
        """
        root, place = self._places(around)
        if self.waits.seconds > _PATIENCE and not is_needed:
            return Asked(why=SPENT, root=str(root))
        await asyncio.to_thread(self._copy, place, is_git=around.is_git)
        try:
            asked = await self._ask(around, conversations, root, place, patience)
            self.waits.add(asked, around)
            return asked
        finally:
            await asyncio.to_thread(remove_tree, place, ignore_errors=True)

    def _places(self, around: Surroundings) -> tuple[Path, Path]:
        """Folder of the service as it finds it, and on this machine."""
        words = secrets.SystemRandom().sample(WORDS, 2)
        if self.bench.sandbox.name == "none":  # which shows folders where they are
            place = self.ready.folder.with_name(words[0]) if around.is_moved else self.ready.folder
            return place, place
        return (Path("/srv", *words) if around.is_moved else self.ready.inside), self.ready.folder

    def _copy(self, place: Path, *, is_git: bool) -> None:
        remove_tree(place, ignore_errors=True)
        words = ["cp", "-a", "--reflink=auto", "--", str(self.pristine), str(place)]
        subprocess.run(words, check=True, env={"PATH": os.defpath})
        history = place / ".git"
        if not is_git and history.is_dir() and not history.is_symlink():
            remove_tree(history)

    async def _ask(
        self, around: Surroundings, conversations: Sequence[Conversation], root: Path, place: Path, patience: float
    ) -> Asked:
        policy, report = self.bench.policy, self.ready.report
        deploy, mark = policy.deploy, secrets.token_hex(16)
        seconds = max(deploy.start_timeout.total_seconds(), _SHORTEST_START) * patience
        command, own = deploy.start, dict(around.variables)
        own |= {name: MARKS[name] for name in around.marks}
        if around.is_loaded:
            loaded = report / f"loaded-{secrets.token_hex(4)}"
            loaded.mkdir()
            (loaded / "sitecustomize.py").write_text(_RUNNERS_LOADED)
            own["PYTHONPATH"] = str(loaded)
            command = re.sub(r"(?<!\w)PYTHONPATH=(?=\S)", f"PYTHONPATH={loaded}:", command)
        handed = [*_ALWAYS_HANDED_ON, *deploy.environment]
        handed += [name for service in policy.project.services for name in service.exported]
        order = report / f"{secrets.token_hex(8)}.json"
        document = {
            "mark": mark,
            "command": command,
            "health": deploy.health,
            "start_seconds": seconds,
            "environment": own,
            "handed": handed,
            "watched": around.is_loaded,
            "ports": _EPHEMERAL if around.is_loaded else (deploy.port, deploy.port) if deploy.port else _RELEASED,
            "age": around.age,
            "seconds": _SECONDS,
            "limit": around.limit,
            "late": _MOST_LATE,
            "budget": 1.0,
            "rounds": around.rounds,
            "conversations": [[_told(request) for request in talk.requests] for talk in conversations],
        }
        order.write_text(json.dumps(document))
        done = await run_with_services(
            self.bench.sandbox,
            policy.project.services,
            [sys.executable, "-I", "-S", "-c", _script(), str(order)],
            folder=place,
            timeout=timedelta(seconds=seconds + around.age + _SECONDS + 2 * around.limit) + _AROUND,
            writable=[report],
            output_limit=_LIMIT,
            inside=root,
            beneath=self.ready.beneath,
        )
        order.unlink(missing_ok=True)
        return _read(done.output, mark, str(root))


@asynccontextmanager
async def twin_of(bench: Bench, graded: GradedTree, commit: str, origin: Origin) -> AsyncGenerator[Twin | None]:
    """A tree that is set up once, to be started from, or `None` if setup fails.

    Args:
        bench: Where.
        graded: The graded tree.
        commit: The commit, which is the graded one or base.
        origin: Which of them.
    """
    async with bench.prepared(Checkout(f"served-{origin}", commit, graded.belongs_to_tests, origin=origin)) as ready:
        if ready.failure:
            yield None
            return
        pristine = ready.folder.with_name("release")
        ready.folder.rename(pristine)
        yield Twin(bench, ready, pristine)


@cache
def _script() -> str:
    return _SCRIPT.read_text()


def _told(request: ServedRequest) -> dict[str, Any]:
    recorded = None
    if request.recorded:
        body = base64.b64encode(request.recorded.body or b"").decode()
        recorded = {"headers": request.recorded.headers, "body": body}
    body = base64.b64encode(request.body).decode()
    return {
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": body,
        "recorded": recorded,
    }


class _Answer(BaseModel):
    status: int
    headers: list[tuple[str, str]]
    body: str | None
    digest: str
    error: str

    def read(self) -> ServedAnswer:
        return ServedAnswer(self.status, tuple(pairs(self.headers)), decoded(self.body), self.digest, self.error)


class _Decay(BaseModel):
    conversation: int
    round: int
    answer: _Answer


class _Result(BaseModel):
    why: str
    log: str
    answers: list[list[_Answer]]
    decayed: list[_Decay]
    silent: bool


def _read(output: str, mark: str, root: str) -> Asked:
    """Result on the line that begins with the mark, which the service cannot know."""
    line = next((line for line in output.splitlines() if line.startswith(f"{mark} ")), "")
    try:
        result = _Result.model_validate(read_json(line.removeprefix(f"{mark} "), "the result", _BOUNDS))
    except ValueError:
        return Asked(why=BROKEN_OFF, log=output[-_LOG:], root=root)
    answers = tuple(tuple(answer.read() for answer in part) for part in result.answers)
    decays = tuple(Decay(decay.conversation, decay.round, decay.answer.read()) for decay in result.decayed)
    return Asked(answers, result.why, result.log, decays, root, is_silent=result.silent and not result.why)
