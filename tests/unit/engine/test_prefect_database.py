"""A server's first database is a copy of one migrated before, if that can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasegate.flows.engine.prefect_backend import server_database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "prefect.db"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "template.db"
    path.parent.mkdir()
    path.write_bytes(b"migrated")
    return path


@pytest.fixture(autouse=True)
def migrations(monkeypatch: pytest.MonkeyPatch, database: Path) -> list[str]:
    """The migrations that were made; Prefect's own take seconds, and the engine's tests run them."""
    done: list[str] = []

    async def migrate() -> None:
        done.append("migrated")
        database.write_bytes(b"migrated here")  # noqa: ASYNC240 -- nothing else runs

    monkeypatch.setattr(server_database, "_migrate", migrate)
    return done


def test_a_first_start_copies_the_template(database: Path, template: Path, migrations: list[str]) -> None:
    server_database.prepare(database, template)

    assert database.read_bytes() == b"migrated"
    assert database.stat().st_mode & 0o777 == 0o600
    assert not migrations


def test_without_a_template_one_is_left_for_the_next(database: Path, tmp_path: Path) -> None:
    template = tmp_path / "new" / "template.db"

    server_database.prepare(database, template)

    assert template.read_bytes() == b"migrated here"
    assert template.parent.stat().st_mode & 0o777 == 0o700


def test_a_database_that_is_there_is_left_alone(database: Path, template: Path, migrations: list[str]) -> None:
    database.write_bytes(b"runs")

    server_database.prepare(database, template)

    assert database.read_bytes() == b"runs"
    assert not migrations


def test_a_database_that_is_still_in_two_files_is_no_template(database: Path, tmp_path: Path) -> None:
    template = tmp_path / "new" / "template.db"
    database.with_name("prefect.db-wal").touch()

    server_database.prepare(database, template)

    assert not template.exists()


def test_a_cache_that_cannot_be_made_costs_time_only(database: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    server_database.prepare(database, tmp_path / "file" / "template.db")

    assert database.read_bytes() == b"migrated here"


def test_the_template_is_the_users_and_the_versions(tmp_path: Path) -> None:
    named = server_database.template({"XDG_CACHE_HOME": str(tmp_path)})
    relative = server_database.template({"XDG_CACHE_HOME": "somewhere"})

    assert named.parent == tmp_path / "phasegate"
    assert relative.parent == Path.home() / ".cache" / "phasegate"
    assert named.name == relative.name
