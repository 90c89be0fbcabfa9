"""Time that a model's answer continues after a person said `steer --now`.

From the moment the message is in the ledger until the model's side sees its connection closed. The signal is set as the
engine sets it, in its own process. The time that the command line takes to start, and to reach the engine, is not in
it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.loop import ours

from phasegate.infra.ledger import Ledger

_TOKEN_SECONDS = 0.02
_BEFORE_SECONDS = 0.1
"""Time that an answer has been coming in when it is cut."""


class _Talk:
    """A model that never comes to an end of its answer, but for the last one it is asked for."""

    def __init__(self, folder: Path, times: int) -> None:
        self._folder, self._times = folder, times
        self._rung = asyncio.Event()
        self.seconds: list[float] = []

    @contextmanager
    def signal(self) -> Generator[asyncio.Event]:
        """The signal that the loop listens to."""
        yield self._rung

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                if len(self.seconds) == self._times:
                    call = {"name": "finish", "arguments": '{"summary": "done"}'}
                    writer.write(_chunk({"tool_calls": [{"index": 0, "id": "c", "function": call}]}, "tool_calls"))
                    writer.write(b"0\r\n\r\n")
                else:
                    await self._go_on_until_cut(reader, writer)
                    break
        writer.close()

    async def _go_on_until_cut(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closed = asyncio.create_task(reader.read())
        said = asyncio.create_task(self._say_now())
        while not closed.done():
            writer.write(_chunk({"content": "and so on, "}, None))
            await asyncio.wait({closed}, timeout=_TOKEN_SECONDS)
        now = time.monotonic()
        await asyncio.gather(closed, return_exceptions=True)  # it may have been reset, with what was not read any more
        self.seconds.append(now - await said)

    async def _say_now(self) -> float:
        await asyncio.sleep(_BEFORE_SECONDS)
        ledger = Ledger.open(f"sqlite:///{self._folder / 'ledger.db'}")
        ledger.messages.queue("run-one", "stop that", sender="ana", urgent=True)
        ledger.close()
        at = time.monotonic()
        self._rung.set()
        return at


def _chunk(delta: dict[str, Any], reason: str | None) -> bytes:
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    data = b"data: %b\n\n" % json.dumps(event).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _measured(folder: Path, times: int) -> list[float]:
    (folder / "work").mkdir()
    talk = _Talk(folder, times)
    server = await asyncio.start_server(talk.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await ours.main(f"http://127.0.0.1:{port}", times + 1, folder, talk.signal)
    return [1000 * seconds for seconds in talk.seconds]


def cuts(times: int) -> list[float]:
    """Milliseconds from the message to the end of the answer, each time."""
    with tempfile.TemporaryDirectory(prefix="phasegate-cut-") as folder:
        return asyncio.run(_measured(Path(folder), times))
