"""The commands that make migrations: what they are told, and what comes of it when they fail, lie or hang."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate.infra.deploy.migrations.migrator import MigrationMade, MigrationStep, Migrator
from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.errors import MigrationFailed
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.policy.migrations import MigrationsPolicy
from phasegate.infra.system.processes import find_by_mark, start

KEY = "run-1/migrate-1"


def migrator(tmp_path: Path, **policy: Any) -> Migrator:
    """A migrator whose releases' files hold their commit."""

    def checkout(commit: str, folder: Path) -> None:
        folder.mkdir()
        (folder / "commit").write_text(commit)

    return Migrator(
        DeployPolicy(environment=("WORLD",), migrations=MigrationsPolicy(**policy)),
        service="shop",
        state_folder=tmp_path,
        checkout=checkout,
        environment={"PATH": "/usr/bin:/bin", "WORLD": str(tmp_path), "PASSWORD": "hunter2"},
        between_tries=timedelta(0),
    )


def step(command: str) -> MigrationStep:
    return MigrationStep(
        migration="fill it",
        migration_class="migrate",
        files=("m/1.sql", "m/2.sql"),
        command=command,
        release_id="r2",
        commit="two",
    )


async def made(tmp_path: Path, command: str, **policy: Any) -> MigrationMade:
    return await migrator(tmp_path, **policy).make(step(command), KEY)


def log(tmp_path: Path) -> Path:
    return tmp_path / "services" / "shop" / "releases" / "r2.migrations" / "log"


async def test_what_a_command_is_told_and_that_its_output_is_kept(tmp_path: Path) -> None:
    done = await made(tmp_path, 'env | sort; cat commit; echo "; $PWD" >&2')
    said, files = log(tmp_path).read_text(), log(tmp_path).with_name("source")
    told = {line.partition("=")[0]: line.partition("=")[2] for line in said.splitlines() if "=" in line}
    mark = f"{tmp_path}/services/shop|command|migrate|"
    assert {name: told[name] for name in told if name.startswith(("PHASEGATE", "WORLD", "PASSWORD"))} == {
        "PHASEGATE_ACTION": "migrate",
        "PHASEGATE_COMMIT": "two",
        "PHASEGATE_FILES": str(files),
        "PHASEGATE_KEY": KEY,
        "PHASEGATE_MIGRATION": "fill it",
        "PHASEGATE_MIGRATION_CLASS": "migrate",
        "PHASEGATE_MIGRATION_FILES": "m/1.sql",
        "PHASEGATE_RELEASE": mark,
        "PHASEGATE_RELEASE_ID": "r2",
        "PHASEGATE_SERVICE": "shop",
        "WORLD": str(tmp_path),
    }
    assert "\nm/2.sql\n" in said, "one file a line"
    assert (done.found, done.log) == (False, str(log(tmp_path)))
    assert f"two; {files}" in done.output


async def test_one_that_says_so_is_tried_again(tmp_path: Path) -> None:
    """Untried mutation: 75 is final."""
    await made(tmp_path, 'echo x >> "$WORLD/tries"; test $(wc -l < "$WORLD/tries") = 3 || exit 75')
    assert (tmp_path / "tries").read_text() == "x\n" * 3


@pytest.mark.parametrize(("code", "tries"), [(75, 3), (1, 1)])
async def test_one_that_fails_is_not_made(tmp_path: Path, code: int, tries: int) -> None:
    with pytest.raises(MigrationFailed) as failure:
        await made(tmp_path, f'echo x >> "$WORLD/tries"; echo no such table; exit {code}')
    assert f"it exited with code {code}\nIt said at the end:\n  no such table" in failure.value.message
    assert str(log(tmp_path)) in failure.value.remedy
    assert (tmp_path / "tries").read_text() == "x\n" * tries


async def test_one_that_takes_too_long_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed, match=r"took longer than 0:00:00.5"):
        await made(tmp_path, "sleep 60 & sleep 60", timeout=timedelta(milliseconds=500))
    assert find_by_mark(f"{tmp_path}/services/shop") == []


@pytest.mark.parametrize(("said", "runs"), [("done", False), ("pending", True), ("partly", True)])
async def test_status_is_asked_first_and_has_the_last_word(tmp_path: Path, said: str, runs: bool) -> None:
    """Untried mutations: `make` without looking before, and without looking afterwards."""
    status = f'echo \'{{"state": "{said}"}}\''
    if said == "done":
        assert (await made(tmp_path, 'touch "$WORLD/ran"', status=status)).found
    else:
        with pytest.raises(
            MigrationFailed, match=f"its command ended well, but `deploy.migrations.status` says '{said}'"
        ):
            await made(tmp_path, 'touch "$WORLD/ran"', status=status)
    assert (tmp_path / "ran").exists() == runs


@pytest.mark.parametrize("status", ["echo nonsense", "echo '{}'", "exit 3", 'echo \'{"state": "maybe"}\''])
async def test_a_status_that_does_not_say_is_no_yes(tmp_path: Path, status: str) -> None:
    with pytest.raises(MigrationFailed, match="does not say how far migrate migration 'fill it' has got"):
        await migrator(tmp_path, status=status).state(step("true"), KEY)


async def test_without_a_status_nobody_can_say(tmp_path: Path) -> None:
    assert await migrator(tmp_path).state(step("true"), KEY) is None


async def test_what_an_interrupted_try_left_running_is_stopped_before_anybody_looks(tmp_path: Path) -> None:
    """Untried mutation: `state` without `_stop_what_is_left`: what was told as pending is then made all the same."""
    mark = ServiceFolder(tmp_path, "shop").mark("command", "migrate")
    start("sleep 60", folder=tmp_path, log=tmp_path / "log", environment={"PATH": "/usr/bin:/bin"}, mark=mark)
    async with asyncio.timeout(20):
        while not find_by_mark(mark):  # noqa: ASYNC110  seen in /proc once the new process has become the command
            await asyncio.sleep(0.01)
    assert await migrator(tmp_path, status='echo \'{"state": "pending"}\'').state(step("true"), KEY) == "pending"
    assert find_by_mark(mark) == []
