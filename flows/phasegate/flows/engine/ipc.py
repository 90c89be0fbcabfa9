"""Unix socket of the engine: one JSON object per line in, one out.

`control` asks, the engine answers. The socket is the owner's alone (0600 in a 0700 folder): a process that can write to
it could edit the state folder as well. This module must import nothing heavy and knows no verb.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@contextmanager
def _address(path: Path) -> Generator[str]:
    # A Unix address holds 107 bytes and a state folder may be deeper; the folder's descriptor makes any path short.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def request(path: Path, request: dict[str, Any], *, timeout: timedelta) -> dict[str, Any]:
    """Send one request and wait for its answer.

    Raises:
        OSError: No process listens, or no answer came in time.
        ValueError: The answer was cut short.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _address(path) as address:
        connection.settimeout(timeout.total_seconds())
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            return read_json_table(lines.readline(), "the answer of the engine")


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer requests on the socket until the returned server is closed.

    Args:
        path: The socket's path; a socket left by a dead engine is replaced.
        answer: Called with each request; what it returns is sent back.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answer_line(line, answer)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return  # the other side has what it wanted, or is dead
        finally:
            writer.close()

    return await asyncio.start_unix_server(serve, sock=bind(path))


def bind(path: Path) -> socket.socket:
    """Bind a socket at this path, for its owner alone; a socket that a dead process left is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _address(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    return listener


async def _answer_line(line: bytes, answer: Answer) -> dict[str, Any]:
    try:
        request = read_json_table(line, "the request")
    except DocumentUnreadable:
        return {"ok": False, "error": "not a JSON object"}
    return await answer(request)
