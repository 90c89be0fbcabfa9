"""A service with a schema: its old code reads one column, its new code another, and migrations lead there."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError

import pytest
import yaml
from tests.support.greeter import PRD, QUICK_GRADES, RUNNER
from tests.support.lifecycle import LifecycleHarness, open_lifecycle
from tests.support.repositories import first_commit

from phasegate.flows.lifecycle.context import RunContext
from phasegate.infra.deploy.process.services import services, stop_service
from phasegate.infra.ledger import Effect, Run
from phasegate.infra.system.ports import ephemeral_port

SERVICE = '''"""Says what is in one column of the first person's row."""
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

COLUMN, PLACE = Path("column.txt").read_text().strip(), Path(os.environ["SHOP_DATABASE"])
if (PLACE.parent / f"{COLUMN} crashes on {os.environ['PORT']}").exists():
    sys.exit(3)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = 200, "ok"
        if self.path != "/healthz":
            try:
                with sqlite3.connect(PLACE, timeout=10) as database:
                    body = database.execute(f"SELECT {COLUMN} FROM people").fetchone()[0]
            except sqlite3.Error as error:
                status, body = 500, str(error)
            if (PLACE.parent / "broken").exists():
                status = 500
        self.send_response(status if body else 500)
        self.end_headers()
        self.wfile.write(str(body).encode())

    def log_message(self, *args):
        pass


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''
MIGRATE = '''"""Makes a migration, or says how far it has got; notes meanwhile what the service's port answers."""
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

told = {name.removeprefix("PHASEGATE_").lower(): value for name, value in os.environ.items() if "PHASEGATE_" in name}
place = Path(os.environ["SHOP_DATABASE"])
database = sqlite3.connect(place, isolation_level=None)
database.execute("CREATE TABLE IF NOT EXISTS made (key TEXT PRIMARY KEY, class TEXT)")
made = database.execute("SELECT 1 FROM made WHERE key = ?", [told["key"]]).fetchone()
if told["action"] == "status":
    print(json.dumps({"state": "done" if made else "pending"}))
    sys.exit()


def answer():
    try:
        return urllib.request.urlopen(os.environ["SHOP_URL"], timeout=5).read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError:
        return "nobody"


seen = {**{name: told[name] for name in sorted(told) if name != "release"}, "cwd": os.getcwd(), "before": answer()}
if (place.parent / f"slow {told['action']}").exists():
    (place.parent / "begun").touch()
    time.sleep(1.5)
if not made:
    database.execute("BEGIN IMMEDIATE")
    for statement in "".join(Path(name).read_text() for name in told["migration_files"].splitlines()).split(";"):
        database.execute(statement)
    database.execute("INSERT INTO made VALUES (?, ?)", [told["key"], told["action"]])
    database.execute("COMMIT")
with (place.parent / "calls").open("a") as calls:
    calls.write(json.dumps({**seen, "after": answer()}) + "\\n")
print("made with", os.environ["SHOP_TOKEN"])
'''
POLICY = """[deploy]
start = "python3 -I -S shop.py"
health = "/healthz"
port = {port}
environment = ["SHOP_DATABASE"{names}]
[deploy.migrations]
{commands}
[[monitor.metrics]]
name = "errors"
path = "/"
requests = 2
interval = "10ms"
count = 1
failure_condition = "error_rate > 0.05"
"""
FILES = {
    "expand": "ALTER TABLE people ADD COLUMN greeting TEXT",
    "migrate": "UPDATE people SET greeting = 'Good day, ' || name",
    "contract": "ALTER TABLE people DROP COLUMN name",
}
ALL = ("expand", "migrate", "contract")


@dataclass
class MigrationHarness:
    """The machine, the service and its data.

    Attributes:
        house: The harness that carries runs.
        data: The folder of the database; its other files tell the service and its migrations what to do wrong.
        port: The service's.
    """

    house: LifecycleHarness
    data: Path
    port: int

    @property
    def top(self) -> Path:
        """The repository."""
        return self.house.folder / "greeter"

    def write(
        self,
        migrations: Sequence[str] = ALL,
        *,
        commands: Sequence[str] = (*ALL, "status"),
        files: Any = (),
        **stages: Any,
    ) -> None:
        """Write the project, and the script of the agents that change it.

        Args:
            migrations: The classes of the migrations that the change brings along.
            commands: Which commands policy names.
            files: Their text, where it is another than `FILES`.
            stages: Scripted turns instead of these.
        """
        named = "\n".join(f'{name} = "python3 -I migrate.py"' for name in commands)
        written = {
            "shop.py": SERVICE,
            "migrate.py": MIGRATE,
            "column.txt": "name\n",
            "run-tests.sh": RUNNER,
            "tests/plain.sh": "test -s column.txt\n",
            "migrations/1.sql": "CREATE TABLE people (name TEXT)",
            "phasegate.toml": QUICK_GRADES
            + POLICY.format(port=self.port, commands=named, names=', "SHOP_URL", "SHOP_TOKEN"'),
        }
        first_commit(self.top, written)
        texts = {**FILES, **dict(files)}
        edits = [
            {"tools": [{"name": "write_file", "args": {"path": f"migrations/{name}.sql", "content": texts[name]}}]}
            for name in migrations
        ]
        change = {"tools": [{"name": "edit_file", "args": {"path": "column.txt", "old": "name", "new": "greeting"}}]}
        sealed = {"path": "tests/new.sh", "content": "grep -q greeting column.txt\n", "criteria": ["AC1"]}
        plan = [{"name": f"{name} people", "class": name, "files": [f"migrations/{name}.sql"]} for name in migrations]
        script = {
            "prd": [{"finish": PRD}],
            "implementation": [change, *edits, {"finish": {"summary": "It greets."}}],
            "testing": [{"finish": {"files": [sealed]}}],
            "deployment": [{"finish": {"summary": "Greetings.", "migrations": plan}}],
            "monitoring": [{"finish": {"summary": "It is broken."}}],
        }
        (self.house.folder / "script.yaml").write_text(yaml.safe_dump({"version": 1, "stages": {**script, **stages}}))
        (self.house.folder / "ticket.md").write_text("---\ntitle: Greet\n---\nGreet people.\n")

    async def serving(self) -> Run:
        """A run, accepted while a release of what is there before it serves."""
        run = self.house.kick_off()
        target = RunContext(run, self.house.shared, self.house).world.target
        await target.start_candidate("before", run.base_commit)
        await target.cut_over("before")
        return run

    async def released(self) -> Run:
        """The run at its next stop."""
        return await self.house.carry(await self.serving())

    async def resumed(self, run: Run) -> Run:
        """The run at its next stop, after a person resumed it."""
        self.house.ledger.runs.resume(run.id, actor="ana")
        return await self.house.carry(run)

    async def asked(self, run: Run, wish: Any) -> Run:
        """The run at its next stop, once a person asked for something."""
        self.house.ledger.runs.ask(run.id, wish, actor="ana")
        return await self.house.carry(run)

    def database(self) -> sqlite3.Connection:
        """The service's own."""
        return sqlite3.connect(self.data / "shop.db")

    def columns(self) -> list[str]:
        """Of the table."""
        with closing(self.database()) as database:
            return [row[1] for row in database.execute("PRAGMA table_info(people)")]

    def calls(self) -> list[dict[str, str]]:
        """Input and observation of each migration that was made."""
        calls = self.data / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    def answer(self) -> str:
        """Answer of the service now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as said:
                return str(said.read().decode())
        except HTTPError as error:
            return f"{error.code} {error.read().decode()}"

    async def serves(self, run: Run) -> str | None:
        """The release that serves, as the target says."""
        state = await RunContext(run, self.house.shared, self.house).world.target.status()
        assert not any(one.weight for one in state.candidates), "no traffic is left with a candidate"
        return state.current.release_id if state.current and state.current.alive else None

    def effects(self, run: Run) -> list[tuple[str, str]]:
        """Kind and status, in order."""
        return [(effect.kind, effect.status) for effect in self.effects_of(run)]

    def effects_of(self, run: Run) -> list[Effect]:
        """All that a run did."""
        return self.house.ledger.effects.list(run.id)


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[MigrationHarness]:
    """A machine with the shop's repository, in which nothing is written yet, and its database."""
    shop = MigrationHarness(LifecycleHarness(tmp_path, cast("Any", None)), tmp_path / "data", ephemeral_port())
    shop.data.mkdir()
    with closing(shop.database()) as database, database:
        database.execute("CREATE TABLE people (name TEXT)")
        database.execute("INSERT INTO people VALUES ('Ana')")
    monkeypatch.setenv("SHOP_DATABASE", str(shop.data / "shop.db"))
    monkeypatch.setenv("SHOP_URL", f"http://127.0.0.1:{shop.port}/")
    monkeypatch.setenv("SHOP_TOKEN", "tok-5kq0c3v9xz81")
    async with open_lifecycle(tmp_path) as shop.house:
        yield shop
        for state in services(shop.house.shared.settings.home):
            await stop_service(shop.house.shared.settings.home, state.service)
