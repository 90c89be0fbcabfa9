"""HAProxy, from the system's packages: its configuration, and what is asked of it while it runs.

Used by the proxy alone. Servers come, go and change their weight through the runtime API, with no reload; the
configuration is rewritten each time all the same, so that one which is started again does what was last asked of it.
It must not know what a release is.

Source: https://docs.haproxy.org/2.6/management.html#9.3
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from phasegate.infra.errors import DeployFailed, TargetRefused, TargetUnavailable

PROGRAM = "haproxy"
CONFIGURATION = "haproxy.cfg"
_SOCKET = "runtime.sock"
_HEALTH = "health.map"
_BACKEND = "releases"
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
"""Folders in which Debian puts it, and which a person's PATH does not have."""
_ASK_SECONDS = 5.0
_CHECK = "check inter 2s fastinter 250ms downinter 500ms fall 3 rise 1"
_RUNS = {"1", "2"}
"""`srv_op_state`: starting, running."""
_TEMPLATE = """\
# Written by phasegate; changes are lost.
global
    stats socket unix@{socket} mode 600 level admin
    nbthread {threads}
defaults
    mode http
    retries 3
    option redispatch 1
    option forwardfor
    timeout connect 5s
    timeout check 5s
    timeout http-request 1m
    timeout http-keep-alive 1m
    timeout client 1h
    timeout server 1h
    timeout tunnel 1d
frontend service
    bind {address}
    default_backend {backend}
backend {backend}
    balance roundrobin
    option httpchk
    http-check connect linger
    http-check send meth GET uri-lf "%[srv_name,map_str({map},/)]" ver HTTP/1.1 hdr Host localhost hdr Connection close
    http-check expect rstatus ^2
"""


class Server(NamedTuple):
    """Server that HAProxy may send requests to."""

    name: str
    port: int
    weight: int
    """Of all weights together; 0: nothing new."""
    health: str
    """A path that answers 2xx while it is well."""


class ServerStatus(NamedTuple):
    """Status of a server in HAProxy at this moment."""

    weight: int
    """In force: 0 where it is down, or gets nothing new."""
    up: bool
    sessions: int
    """Number of sessions that it is answering now."""


def find(path: str) -> str:
    """The program.

    Raises:
        TargetRefused: It is not installed.
    """
    if (program := shutil.which(PROGRAM, path=os.pathsep.join([path, *_SYSTEM_FOLDERS]))) is None:
        raise TargetRefused(
            'HAProxy, which `[deploy] strategy = "canary"` puts before a service, is not installed.',
            remedy='Install it (Debian: apt-get install haproxy), or set `strategy = "rolling"` in phasegate.toml.',
        )
    return program


class HaProxy:
    """HAProxy and its folder, in which it has to be started: its configuration names no absolute path."""

    def __init__(self, folder: Path, host: str) -> None:
        """Name the folder, and where the servers are."""
        self._folder = folder
        self._host = host

    def configure(self, address: str, servers: Collection[Server]) -> None:
        """Write what the next start begins with, each file whole or not at all."""
        text = _TEMPLATE.format(
            socket=_SOCKET,
            threads=min(2, os.cpu_count() or 1),
            address=address,
            backend=_BACKEND,
            map=_HEALTH,
        )
        lines = [
            f"    server {server.name} {self._host}:{server.port} weight {server.weight} {_CHECK}\n"
            for server in servers
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(_HEALTH, "".join(f"{server.name} {server.health}\n" for server in servers))
        self._write(CONFIGURATION, text + "".join(lines))

    def listens_on(self, address: str) -> bool:
        """True if it was configured for this address."""
        path = self._folder / CONFIGURATION
        return path.exists() and f"    bind {address}\n" in path.read_text()

    def put(self, server: Server) -> None:
        """Set a server's weight, and send it requests; one that is not there yet is added.

        Raises:
            DeployFailed: HAProxy refused.
            TargetUnavailable: It does not answer.
        """
        name = f"{_BACKEND}/{server.name}"
        self._set_health(server)
        if server.name not in self.servers():
            self._tell(f"add server {name} {self._host}:{server.port} weight {server.weight} {_CHECK}", "registered")
            self._tell(f"enable health {name}")
        else:
            self._tell(f"set server {name} addr {self._host} port {server.port}", "changed", "no need to change")
            self._tell(f"set server {name} weight {server.weight}")
        self._tell(f"set server {name} state ready")

    def drain(self, name: str) -> None:
        """Drain a server: it finishes what it has, and gets nothing new; nothing happens to one that is not there.

        Raises:
            DeployFailed: HAProxy refused.
            TargetUnavailable: It does not answer.
        """
        if name in self.servers():
            self._tell(f"set server {_BACKEND}/{name} state drain")

    def drop(self, name: str) -> bool:
        """Forget a server; False while a connection to it is left.

        Raises:
            DeployFailed: HAProxy refused.
            TargetUnavailable: It does not answer.
        """
        if name not in self.servers():
            return True
        self._tell(f"set server {_BACKEND}/{name} state maint")
        return "deleted" in self._ask(f"del server {_BACKEND}/{name}")

    def servers(self) -> dict[str, ServerStatus]:
        """Every server by its name, as it is now.

        Raises:
            TargetUnavailable: HAProxy does not answer.
        """
        states = self._rows("show servers state " + _BACKEND, " ")
        sessions = {row["svname"]: int(row["scur"] or 0) for row in self._rows("show stat -1 4 -1", ",")}
        statuses: dict[str, ServerStatus] = {}
        for row in states:
            up = row["srv_op_state"] in _RUNS
            takes = up and row["srv_admin_state"] == "0"
            name = row["srv_name"]
            statuses[name] = ServerStatus(int(row["srv_uweight"]) if takes else 0, up, sessions.get(name, 0))
        return statuses

    def _set_health(self, server: Server) -> None:
        self._ask(f"del map {_HEALTH} {server.name}")
        # handed over as a payload: a path may hold what separates commands
        self._tell(f"add map {_HEALTH} <<\n{server.name} {server.health}\n")

    def _rows(self, command: str, separator: str) -> list[Mapping[str, str]]:
        lines = [line for line in self._ask(command).splitlines() if line]
        header = next((number for number, line in enumerate(lines) if line.startswith("# ")), None)
        if header is None:
            raise TargetUnavailable(f"HAProxy does not say what it has: `{command}` gave {lines[:3]}")
        return list(csv.DictReader([lines[header].removeprefix("# "), *lines[header + 1 :]], delimiter=separator))

    def _tell(self, command: str, *expected: str) -> None:
        reply = self._ask(command).strip()
        if reply and not any(word in reply for word in expected):
            raise DeployFailed(f"HAProxy refused `{command.splitlines()[0]}`: {reply}")

    def _ask(self, command: str) -> str:
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return _exchange(f"/proc/self/fd/{folder}/{_SOCKET}", command)
            finally:
                os.close(folder)
        except OSError as error:
            raise TargetUnavailable(
                f"The proxy of this service does not answer: {error.strerror or error}.",
                remedy=f"Look at {self._folder / 'log'}; the next try starts it again.",
            ) from error

    def _write(self, name: str, text: str) -> None:
        fresh = self._folder / f"{name}.new"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / name)


def _exchange(path: str, command: str) -> str:
    """Ask on a socket; reached by a descriptor, since a socket's address holds no long path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ASK_SECONDS)
        connection.connect(path)
        connection.sendall(f"{command}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        reply = bytearray()
        while data := connection.recv(65536):
            reply += data
    return reply.decode(errors="replace")
