"""A model on loopback that answers every request with the next call of one tool, and tells how long it waited.

Run as a process of its own by `benchmarks.loop.measure`. Speaks Chat Completions, streamed or not. Two more paths,
`/reset?turns=N&tool=NAME` and `/report`, are for the measuring process. Requests are examined at the end only.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

_TEXT = (
    "I read on, since the part I am looking for has not come up yet; after this I know how the two belong together. "
)
_ARGUMENTS = {"read_file": '{"path": "notes-%d.txt"}', "bash": '{"command": "cat notes-%d.txt"}'}
FILES = 20
"""Number of files that are read in rotation: an agent that reads the same one over and over is rightly stopped."""
_LAST = {"read_file": ("finish", '{"summary": "done"}'), "bash": ("bash", '{"command": "submit"}')}


@dataclass
class _Talk:
    """Trajectory of one contender."""

    turns: int = 0
    tool: str = "read_file"
    bodies: list[bytes] = field(default_factory=list[bytes])
    answered: list[float] = field(default_factory=list[float])
    asked: list[float] = field(default_factory=list[float])


_talk = _Talk()


def _message(turn: int) -> dict[str, Any]:
    name, arguments = _LAST[_talk.tool]
    if turn < _talk.turns:
        name, arguments = _talk.tool, _ARGUMENTS[_talk.tool] % (turn % FILES)
    call = {"id": f"call_{turn}", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": f"Turn {turn}. {_TEXT}", "tool_calls": [call]}


def _answer(body: bytes) -> tuple[str, bytes]:
    turn = len(_talk.bodies)
    message = _message(turn)
    usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 60, "total_tokens": len(body) // 4 + 60}
    head = {"id": f"chatcmpl-{turn}", "created": 0, "model": "loopback"}
    if b'"stream":true' not in body and b'"stream": true' not in body:
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        whole = head | {"object": "chat.completion", "choices": [choice], "usage": usage}
        return "application/json", json.dumps(whole).encode()
    message["tool_calls"][0]["index"] = 0
    chunk = head | {"object": "chat.completion.chunk"}
    events = [
        chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        chunk | {"choices": [], "usage": usage},
    ]
    return "text/event-stream", b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + (
        b"data: [DONE]\n\n"
    )


def _report() -> dict[str, Any]:
    """Seconds per turn after the first, and the share of each request's messages that the next one repeats."""
    gaps = [asked - answered for answered, asked in zip(_talk.answered, _talk.asked[1:], strict=False)]
    shares: list[float] = []
    texts = [[json.dumps(message) for message in json.loads(body)["messages"]] for body in _talk.bodies]
    for earlier, later in pairwise(texts):
        same = 0
        for one, other in zip(earlier, later, strict=False):
            if one != other:
                break
            same += len(one)
        shares.append(same / sum(map(len, earlier)))
    bytewise = [_shared(one, other) / _until_messages_end(one) for one, other in pairwise(_talk.bodies)]
    return {
        "turns": len(_talk.bodies),
        "seconds": gaps,
        "share": min(shares, default=0.0),
        "bytes": min(bytewise, default=0.0),
        "sent": sum(map(len, _talk.bodies)),
    }


def _shared(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _until_messages_end(body: bytes) -> int:
    """Length of the part of a body that the next one can repeat: up to the end of its last message."""
    return body.rindex(b"}", 0, body.rindex(b"]", 0, body.rindex(b"}"))) + 1 if body.endswith(b"]}") else len(body)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            break
        lines = head.split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        arrived = time.monotonic()
        kind, content = _route(lines[0].split(b" ")[1].decode(), body, arrived)
        said = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"
        writer.write(said.encode() + content)
        if body:
            _talk.answered.append(time.monotonic())
        await writer.drain()
    writer.close()


def _route(target: str, body: bytes, arrived: float) -> tuple[str, bytes]:
    global _talk  # noqa: PLW0603  one process serves one trajectory at a time
    path = urlsplit(target)
    if path.path == "/report":
        return "application/json", json.dumps(_report()).encode()
    if path.path == "/reset":
        asked = parse_qs(path.query)
        _talk = _Talk(int(asked["turns"][0]), asked["tool"][0])
        return "application/json", b"{}"
    _talk.asked.append(arrived)
    _talk.bodies.append(body)
    return _answer(body)


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
