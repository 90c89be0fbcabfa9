"""A real Postgres for tests: a cluster of its own in a scratch folder, reached through a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

_START_SECONDS = 30.0


def _programs() -> Path:
    """The folder of the newest Postgres on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    pytest.fail("PostgreSQL is missing. Install it (Debian: apt-get install postgresql) and try again.", pytrace=False)


class PostgresServer:
    """A cluster, which may be taken down and brought back."""

    def __init__(self) -> None:
        """Make the cluster; Postgres refuses to run as root, so then it runs as user `nobody`."""
        self._bin = _programs()
        self._as: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="phasegate-postgres-"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        initdb: list[str | Path] = [
            self._bin / "initdb",
            "--username=phasegate",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        subprocess.run(
            [*initdb, "--no-sync", self.folder / "data"], check=True, capture_output=True, cwd="/", **self._as
        )

    def start(self) -> None:
        """Bring it up, and wait until it answers."""
        command: list[str | Path] = [self._bin / "postgres", "-D", self.folder / "data", "-k", self.folder]
        for setting in ("listen_addresses=", "max_connections=200", "fsync=off"):
            command += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen[bytes](command, stdout=log, stderr=log, cwd="/", **self._as)
        self._process = process
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Take it down; the default drops every connection at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://phasegate@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The address of a fresh, empty database."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def remove(self) -> None:
        """Take it down and away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
