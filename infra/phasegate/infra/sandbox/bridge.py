"""Runs inside the sandbox: lets a command's HTTP clients find the proxy, whose socket is the only thing shown to it.

Started by the bubblewrap backend as a script, `bridge.py SOCKET COMMAND…`; it imports nothing of phasegate, which is
not there. It is no wall: the walls are the missing network and the proxy outside.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

_CHUNK = 64 * 1024


def main(path: str, command: list[str]) -> int:
    """Listen on a loopback port, and run the command with the variables that name it.

    Returns:
        The command's exit code; 128 + N when signal N ended it.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, path), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
        bypass = {"no_proxy": "127.0.0.1,localhost,::1", "NO_PROXY": "127.0.0.1,localhost,::1"}
        code = subprocess.call(command, env={**os.environ, **dict.fromkeys(names, url), **bypass})
    return code if code >= 0 else 128 - code


def _accept(server: socket.socket, path: str) -> None:
    with suppress(OSError):  # closed at the end
        while True:
            inner, _ = server.accept()
            outer = socket.socket(socket.AF_UNIX)
            try:
                outer.connect(path)
            except OSError:
                inner.close()
                continue
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
