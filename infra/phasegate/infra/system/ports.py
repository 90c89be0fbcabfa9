"""TCP ports on this machine: free ones, and who holds the others. Used by the `process` target."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

import psutil

from phasegate.infra.errors import PortTaken
from phasegate.infra.system.processes import command_of

HOST = "127.0.0.1"
STABLE = range(20000, 30000)
"""Ports of services, below those of outgoing connections on Linux: each service keeps its own over restarts."""


def is_free(port: int) -> bool:
    """True if a service could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection lingering is no listener
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def ephemeral_port() -> int:
    """A free port for a candidate's short life."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def stable_port() -> int:
    """A free port for a service to keep.

    Raises:
        PortTaken: Every port of the range is in use.
    """
    for port in random.sample(STABLE, len(STABLE)):
        if is_free(port):
            return port
    raise PortTaken(
        f"No port from {STABLE.start} to {STABLE.stop - 1} is free.",
        remedy="Name one in phasegate.toml: `[deploy] port = …`.",
    )


def require_free(port: int, *, but_for: Collection[int] = ()) -> None:
    """Stop unless the port is free, or held by one of these processes.

    Raises:
        PortTaken: Another process listens there; the message names it if the system shows it.
    """
    if is_free(port):
        return
    pid = holder_of(port)
    if pid in but_for:
        return
    holder = f"process {pid} ({command_of(pid)[:120]})" if pid else ""
    raise PortTaken(
        f"Port {port} is in use{f' by {holder}' if holder else ''}.",
        remedy="Stop what listens there, or choose another port in phasegate.toml: `[deploy] port = …`.",
        port=port,
        holder=holder,
    )


def holder_of(port: int) -> int | None:
    """The process that listens on a port, or `None` if none does or the system does not say."""
    listening = (connection for connection in psutil.net_connections("tcp") if connection.status == psutil.CONN_LISTEN)
    return next(
        (connection.pid for connection in listening if connection.pid and connection.laddr[1:] == (port,)), None
    )
