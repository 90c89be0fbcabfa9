"""Runs inside the sandbox: starts the services that tests need, runs the tests, and takes the services down again.

Handed to Python as text by `services.py`, since phasegate's own files are not there; standard library only. What it
starts comes from the policy at the base commit. The first line it writes says whether the services are up. Readers can
rely on it, since no code of the project has run by then. It must not know what the command is.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
GRACE_SECONDS = 10.0
"""Time that a service may take to end when asked to."""
FAILED = 125
"""The exit code where a service does not come up."""
_PAUSE_SECONDS = 0.05
_ATTEMPTS = 3  # another process may take a free port before the service does
_LOG_CHARACTERS = 2_000
_KEPT = ("PATH", "LANG", "TERM", "PHASEGATE_COMMAND")  # the last by which the backend "none" finds what it started
_POSTGRES_PROGRAMS = ("initdb", "postgres", "createdb")
_REDIS_PROGRAMS = ("redis-server", "valkey-server")


class ServiceDown(Exception):
    """A service does not come up; the message says why."""


def postgres_folder(path: str) -> Path | None:
    """The folder of Postgres's programs: the one PATH leads to, else Debian's newest."""
    versions = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=_version, reverse=True)
    named = shutil.which("initdb", path=path)
    candidates = [Path(named).resolve().parent, *versions] if named else versions
    complete = (folder for folder in candidates if all((folder / name).exists() for name in _POSTGRES_PROGRAMS))
    return next(complete, None)


def redis_program(path: str) -> str | None:
    """Redis's server, or that of its heir."""
    return next((program for name in _REDIS_PROGRAMS if (program := shutil.which(name, path=path))), None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdecimal())


class Service:
    """A service of kind `command`, and what the other kinds have in common."""

    stop_signal = signal.SIGTERM

    def __init__(self, spec: dict[str, Any], folder: Path, environment: dict[str, str]) -> None:
        """Give it an empty folder."""
        self.spec, self.folder = spec, folder
        self.environment = {**environment, "HOME": str(folder)}
        self.log = folder.with_name(f"{folder.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.values: dict[str, str] = {"host": HOST, "folder": str(folder), "checkout": str(Path.cwd())}
        self.deadline = time.monotonic() + spec["seconds"]
        folder.mkdir(mode=0o700)

    def prepare(self) -> None:
        """Do what comes before the first start."""

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it on the port of `values`."""
        return self.spawn(["/bin/sh", "-c", filled(self.spec["start"], self.values, quoted=True)])

    def is_up(self) -> bool:
        """Ask it."""
        if not self.spec["ready"]:
            return answers(int(self.values["port"]))
        command = filled(self.spec["ready"], self.values, quoted=True)
        return self.call(["/bin/sh", "-c", command]) == 0

    def come_up(self) -> None:
        """Start it, and wait until it is up.

        Raises:
            ServiceDown: It ended, or was not up in time.
        """
        self.prepare()
        fixed = int(self.spec["port"])
        if fixed and answers(fixed):
            raise ServiceDown(f"something else listens on port {fixed}")
        for _ in range(1 if fixed else _ATTEMPTS):
            self.values["port"] = str(fixed or free_port())
            self.process = self.launch()
            while self.process.poll() is None:
                if self.is_up() and self.process.poll() is None:
                    return
                if time.monotonic() > self.deadline:
                    raise ServiceDown(f"it was not up after {self.spec['seconds']:g} s")
                time.sleep(_PAUSE_SECONDS)
        raise ServiceDown(f"it ended with exit code {self.process.returncode if self.process else None}")

    def stop(self) -> None:
        """End it and its process group, and wait for that."""
        if self.process is None:
            return
        self._signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def spawn(self, command: list[str], text: str = "", **options: Any) -> subprocess.Popen[bytes]:
        """Start a program in the service's folder, its output going to the log."""
        with self.log.open("ab") as log:
            process = subprocess.Popen[bytes](
                command,
                stdin=subprocess.PIPE if text else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
                process_group=0,
                **options,
            )
        if process.stdin:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(text.encode())
        return process

    def call(self, command: list[str], **options: Any) -> int:
        """Run a program to its end, or until the service's time is up."""
        process = self.spawn(command, **options)
        try:
            return process.wait(max(0.1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def log_tail(self) -> str:
        """The end of its log."""
        with suppress(OSError):
            return self.log.read_text(errors="replace")[-_LOG_CHARACTERS:].strip()
        return ""


class Postgres(Service):
    """An empty cluster of its own, with one database, behind a password nobody else knows."""

    stop_signal = signal.SIGQUIT  # no checkpoint: nobody reads the data again

    def prepare(self) -> None:
        """Make the cluster; root makes it as another user, as Postgres demands."""
        programs = postgres_folder(self.environment.get("PATH", os.defpath))
        if programs is None:
            raise ServiceDown("Postgres is not installed here (Debian: apt-get install postgresql)")
        self.programs, self.password = programs, secrets.token_hex(16)
        self.values |= {"user": "phasegate", "password": self.password, "database": "test"}
        key = self.folder / "password"
        key.write_text(self.password)
        self.prefix, self.options = unprivileged(self.folder, key)
        initdb = [*self.prefix, str(programs / "initdb"), "-D", "data", "-U", "phasegate", "--no-sync"]
        initdb += ["--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--locale=C.UTF-8"]
        if (code := self.call(initdb, **self.options)) != 0:
            raise ServiceDown(f"initdb ended with exit code {code}")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server, on loopback alone."""
        command = [*self.prefix, str(self.programs / "postgres"), "-D", "data", "-p", self.values["port"]]
        for setting in (f"listen_addresses={HOST}", "unix_socket_directories=", "fsync=off", "full_page_writes=off"):
            command += ["-c", setting]
        return self.spawn(command, **self.options)

    def is_up(self) -> bool:
        """Make the tests' database, which works once the server is up."""
        if not answers(int(self.values["port"])):
            return False
        self.environment["PGPASSWORD"] = self.password
        command = [str(self.programs / "createdb"), "-h", HOST, "-p", self.values["port"], "-U", "phasegate", "test"]
        return self.call(command) == 0


class Redis(Service):
    """An empty server that keeps nothing, behind a password nobody else knows."""

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it; its settings come through a pipe, where nobody else reads the password."""
        program = redis_program(self.environment.get("PATH", os.defpath))
        if program is None:
            raise ServiceDown("Redis is not installed here (Debian: apt-get install redis-server)")
        self.values["password"] = self.password = secrets.token_hex(16)
        settings = [f"bind {HOST}", f"port {self.values['port']}", f"requirepass {self.password}", 'save ""']
        return self.spawn([program, "-"], "\n".join([*settings, "daemonize no", f"dir {self.folder}", ""]))

    def is_up(self) -> bool:
        """Ask as a client would."""
        with suppress(OSError), socket.create_connection((HOST, int(self.values["port"])), timeout=1) as client:
            client.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            reply = b""
            while data := client.recv(1024):
                reply += data
                if reply.count(b"\n") > 1:
                    return b"+PONG" in reply
        return False


KINDS: dict[str, type[Service]] = {"postgres": Postgres, "redis": Redis, "command": Service}


def unprivileged(*paths: Path) -> tuple[list[str], dict[str, Any]]:
    """Way to start a program that refuses to be root: words to put before it, and options for Popen.

    Real root hands the paths to `nobody`. Root of a sandbox can become nobody else; a user namespace that maps nobody
    at all has the same user under another name there.
    """
    if os.geteuid() != 0:
        return [], {}
    with suppress(OSError, KeyError, subprocess.SubprocessError):
        nobody = pwd.getpwnam("nobody")
        options: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        subprocess.run(["/bin/sh", "-c", ":"], check=True, cwd="/", **options)
        for path in paths:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return [], options
    return ["unshare", "--user"], {}


def filled(template: str, values: dict[str, str], *, quoted: bool = False) -> str:
    """Put values into the places of a template; other braces are left alone."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", shlex.quote(value) if quoted else value)
    return template


def answers(port: int) -> bool:
    """Try to connect to a port on loopback."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def main(order: dict[str, Any], command: list[str]) -> int:
    """Start the services, run the command with the variables that name them, and take them down.

    Returns:
        The command's exit code; 128 + N when signal N ended it; FAILED where a service does not come up.
    """
    folder = Path(order["folder"])
    folder.mkdir(mode=0o711)
    started: list[Service] = []
    exported: dict[str, str] = {}
    try:
        for spec in order["services"]:
            own = {name: os.environ[name] for name in _KEPT if name in os.environ}
            service = KINDS[spec["kind"]](spec, folder / spec["name"], own | exported)
            started.append(service)
            try:
                service.come_up()
            except (ServiceDown, OSError) as error:
                tell(f"{order['mark']} failed\n{spec['name']} ({spec['kind']}): {error}\n{service.log_tail()}")
                return FAILED
            exported |= {name: filled(text, service.values) for name, text in spec["variables"].items()}
        tell(f"{order['mark']} up")
        code = subprocess.call(command, env={**os.environ, **exported}, process_group=0)
        for service in started:
            if service.process and service.process.poll() is not None:
                tell(f"phasegate: service {service.spec['name']} ended while the command ran\n{service.log_tail()}")
    finally:
        for service in reversed(started):
            service.stop()
    return code if code >= 0 else 128 - code


def tell(text: str) -> None:
    """Write whole lines to the output."""
    sys.stdout.buffer.write(f"{text}\n".encode(errors="replace"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
