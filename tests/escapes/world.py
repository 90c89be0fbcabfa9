"""Targets of an escape: a whole machine in miniature around one workspace, watched for any touch."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel
from tests.support.repositories import write_files

from phasegate.agents.tools.guardrails import Guardrails
from phasegate.agents.tools.tool_sets import WRITING
from phasegate.agents.tools.toolbox import Toolbox, ToolOutcome
from phasegate.infra.artifacts import Artifact
from phasegate.infra.ledger import Event, Ledger, RunOptions
from phasegate.infra.ledger.events import EventKind
from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import Sandbox, open_sandbox
from phasegate.infra.workspace import Repository, Workspace

CANARY = "canary-4e1c9b0f77a2"
RUN = "run-one"
_OWN = ("phasegate/", "/worktrees/", "/objects/", "ledger.db", "state/sandbox/")
"""Parts of names that phasegate itself writes."""
NARROW: dict[str, Any] = {"memory": 192 * 1024**2, "pids": 40, "cpu_seconds": 2, "disk": 24 * 1024**2}


class Paper(Artifact):
    """Stands for ticket and policy."""

    kind: ClassVar[str] = "paper"


class Done(BaseModel):
    """The result."""

    summary: str = ""


@dataclass
class World:
    """A machine: its processes and files, and a record of every touch.

    Attributes:
        root: Everything of it is below.
        workspace: The agent's.
        ledger: The run's ledger, which records attempts.
        words: The values of each `{name}` in an escape's command.
        touched: All that arrived at any of the listeners.
        victim: A process of another user, with the canary in its environment.
    """

    root: Path
    workspace: Workspace
    ledger: Ledger
    victim: subprocess.Popen[bytes]
    words: dict[str, str] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)

    @property
    def tripwire(self) -> Path:
        """Made by whatever gets out."""
        return self.root / "tripwire"

    def told(self, text: str) -> str:
        """A command with the names of this machine filled in."""
        for name, value in self.words.items():
            text = text.replace("{" + name + "}", value)
        return text

    def outside(self) -> dict[str, str]:
        """Digests of every file outside of the agent's reach, without git's own bookkeeping of the run."""
        found: dict[str, str] = {}
        for top in ("home", "state", "project"):
            for path in sorted((self.root / top).rglob("*")):
                name = str(path.relative_to(self.root))
                own = path.is_relative_to(self.workspace.folder) or any(word in name for word in _OWN)
                if path.is_file() and not own:
                    found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox that commands run in."""
        return open_sandbox(SandboxPolicy(**NARROW), self.root / "state")

    async def call(self, tool: str, args: dict[str, Any]) -> tuple[ToolOutcome, list[Event]]:
        """Call a tool as an agent.

        Returns:
            The outcome, and the events that it recorded.
        """
        before = len(self.ledger.events(RUN))

        def note(kind: EventKind, facts: Any) -> None:
            self.ledger.note(RUN, kind, payload=facts)

        toolbox = Toolbox(
            self.workspace.folder,
            names=WRITING,
            sandbox=self.sandbox,
            draft=Done,
            protected=("phasegate.toml",),
            command_timeout=timedelta(seconds=8),
            guardrails=Guardrails(record=note, sensitive_words=(str(self.root / "state" / "ledger.db"),)),
        )
        outcome = await toolbox.call({"id": uuid.uuid4().hex, "name": tool, "args": args, "raw": ""})
        return outcome, self.ledger.events(RUN)[before:]

    def engine_looks(self) -> None:
        """Do with the workspace all that the engine does in a run."""
        checkpoint = self.workspace.checkpoint("implementation", 1)
        change = self.workspace.collect(self.workspace.base_commit, ("phasegate.toml",), "A change")
        self.workspace.diff(self.workspace.base_commit, change.commit)
        self.workspace.restore(checkpoint)

    def tidy(self) -> None:
        """Take away what an escape left in the workspace."""
        subprocess.run(["rm", "-rf", *map(str, self.workspace.folder.glob("[!.]*"))], check=True)
        for path in self.workspace.folder.glob(".*"):
            if path.name != ".git":
                subprocess.run(["rm", "-rf", str(path)], check=True)
        self.workspace.restore(self.workspace.base_commit)


def built(root: Path) -> Iterator[World]:
    """Build it; everything is gone afterwards."""
    with ExitStack() as stack:
        files = {
            "home/.ssh/id_ed25519": CANARY,
            "home/.gnupg/private-keys-v1.d/key": CANARY,
            "home/.git-credentials": f"https://u:{CANARY}@example.org",
            "home/.netrc": f"machine example.org password {CANARY}",
            "home/.aws/credentials": CANARY,
            "state/engine.json": CANARY,
            "state/signing-key": CANARY,
            "state/prefect/prefect.db": CANARY,
            "state/workspaces/run-other/work/secret.py": CANARY,
        }
        write_files(root, files)
        workspace = _workspace(root)
        ledger = Ledger.open(f"sqlite:///{root / 'state' / 'ledger.db'}")
        stack.callback(ledger.close)
        base = workspace.repository.base()
        ledger.runs.accept(
            RUN,
            title=CANARY,
            ticket=Paper(),
            policy=Paper(),
            repository=str(workspace.repository.top),
            base_branch=base.branch,
            base_commit=base.commit,
            requester="ana",
            options=RunOptions(),
            definition="1",
        )
        victim = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], "SECRET": CANARY})
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        world = World(root, workspace, ledger, victim)
        _listen(world, stack)
        world.words |= {
            "root": str(root),
            "home": str(root / "home"),
            "state": str(root / "state"),
            "project": str(root / "project"),
            "git": str(workspace.repository.git.git_dir),
            "victim": str(victim.pid),
            "engine": str(os.getpid()),
            "tripwire": str(world.tripwire),
            "canary": CANARY,
        }
        yield world


def _workspace(root: Path) -> Workspace:
    project = root / "project"
    commands: list[list[str]] = [
        ["init", "-q", "-b", "main", str(project)],
        ["-C", str(project), "config", "remote.origin.url", f"https://u:{CANARY}@example.org/x.git"],
    ]
    for words in commands:
        subprocess.run(["git", *words], check=True)
    (project / "app.py").write_text("x = 1\n")
    (project / "phasegate.toml").write_text("[project]\n")
    for words in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(project), *words], check=True)
    repository = Repository.open(project)
    folder = root / "state" / "workspaces" / RUN / "work"
    return Workspace.create(repository, RUN, repository.base().commit, folder)


def _listen(world: World, stack: ExitStack) -> None:
    abstract = f"\0phasegate-escape-{uuid.uuid4().hex}"
    path = str(world.root / "home" / "agent.sock")
    kinds: dict[str, tuple[socket.AddressFamily, socket.SocketKind, Any]] = {
        "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM, path),
        "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, abstract),
    }
    for name, (family, kind, address) in kinds.items():
        server = stack.enter_context(socket.socket(family, kind))
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        if name in {"tcp", "udp"}:
            world.words[name] = str(server.getsockname()[1])
        threading.Thread(target=_serve, args=(world, name, server, kind), daemon=True).start()
    world.words |= {"unix": path, "abstract": abstract[1:]}


def _serve(world: World, name: str, server: socket.socket, kind: socket.SocketKind) -> None:
    while True:
        try:
            if kind == socket.SOCK_DGRAM:
                server.recv(100)
            else:
                server.accept()[0].close()
        except OSError:  # closed at the end
            return
        world.touched.append(name)
