"""Runs inside the sandbox: lets a command's HTTP clients find the proxy, whose socket is the only thing shown to it.

Started by the bubblewrap backend as a script, `bridge.py SOCKET COMMAND…`; it imports nothing of phasegate, which is
not there. It is no wall: the walls are the missing network and the proxy outside. One thread serves all connections,
since threads count among the command's processes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping

_CHUNK = 64 * 1024
_LOCAL = "127.0.0.1,localhost,::1"


def main(path: str, command: list[str]) -> int:
    """Listen on a loopback port, and run the command with the variables that name it.

    Returns:
        The command's exit code; 128 + N when signal N ended it.
    """
    code = asyncio.run(_run(_Bridge(path), command))
    return code if code >= 0 else 128 - code


def proxy_variables(port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables in which common tools look for a proxy.

    Args:
        port: The bridge's, on loopback.
        environment: The command's otherwise; its options for Java stay.
    """
    url = f"http://127.0.0.1:{port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    tools = ("CARGO_HTTP_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY", "npm_config_proxy", "npm_config_https_proxy")
    java = [f"-D{scheme}.proxy{key}" for scheme in ("http", "https") for key in ("Host=127.0.0.1", f"Port={port}")]
    maven = "-Daether.connector.http.useSystemProperties=true"  # its transport ignores the four before
    return {
        **dict.fromkeys((*names, *tools), url),
        **dict.fromkeys(("NO_PROXY", "no_proxy", "npm_config_noproxy"), _LOCAL),
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": " ".join([environment.get("JAVA_TOOL_OPTIONS", ""), *java, maven]).strip(),
    }


async def _run(bridge: _Bridge, command: list[str]) -> int:
    server = await asyncio.start_server(bridge.accept, "127.0.0.1", 0)
    variables = proxy_variables(server.sockets[0].getsockname()[1], os.environ)
    return await asyncio.to_thread(subprocess.call, command, env={**os.environ, **variables})


class _Bridge:
    """Connects each client to the proxy's socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client."""
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outer_reader, outer_writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.close()
            return
        upload = asyncio.create_task(_send_all(reader, outer_writer))
        if not await _pump(outer_reader, writer):  # the client is gone: the proxy need not go on
            outer_writer.transport.abort()
            writer.transport.abort()
        await upload
        outer_writer.transport.abort()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Pass on bytes until their end.

    Returns:
        True if all of them were taken.
    """
    try:
        while data := await _read(reader):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        return False
    return True


async def _send_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on a client's bytes; if the proxy takes no more, read the rest: some clients read no answer before."""
    if not await _pump(reader, writer):
        while await _read(reader):
            pass


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except OSError:  # the other side is gone, which is an end, too
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
