"""A peer: the loop as one would write it by hand, with httpx and an fsynced journal of what was said.

`loop_bare.py URL TURNS FOLDER [stream]`: with its last word it takes answers as they are streamed, as phasegate does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx

_TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a text file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
_JSON = {"content-type": "application/json"}


async def _whole(http: httpx.AsyncClient, url: str, asked: dict[str, Any]) -> dict[str, Any]:
    reply = await http.post(url, content=json.dumps(asked).encode(), headers=_JSON)
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    return message


async def _streamed(http: httpx.AsyncClient, url: str, asked: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": []}
    body = json.dumps({**asked, "stream": True}).encode()
    async with http.stream("POST", url, content=body, headers=_JSON) as reply:
        async for line in reply.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                message["content"] += choice["delta"].get("content") or ""
                for part in choice["delta"].get("tool_calls", []):
                    if part["index"] == len(message["tool_calls"]):
                        function = {"name": "", "arguments": ""}
                        message["tool_calls"].append({"id": part["id"], "type": "function", "function": function})
                    for key, text in part["function"].items():
                        message["tool_calls"][part["index"]]["function"][key] += text
    return message


async def main(url: str, folder: Path, *, streams: bool = False) -> None:
    """Work through one trajectory."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You implement."},
        {"role": "user", "content": "Read the notes."},
    ]
    ask = _streamed if streams else _whole
    with (folder / "journal.jsonl").open("ab") as journal:
        async with httpx.AsyncClient() as http:
            finished = False
            while not finished:
                asked = {"model": "loopback", "tools": [_TOOL], "messages": messages}
                message = await ask(http, f"{url}/v1/chat/completions", asked)
                said = [message]
                for call in message["tool_calls"]:
                    finished = finished or call["function"]["name"] == "finish"
                    path = json.loads(call["function"]["arguments"]).get("path")
                    output = (folder / "work" / path).read_text() if path else "accepted"
                    said.append({"role": "tool", "tool_call_id": call["id"], "content": output})
                messages += said
                journal.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in said))
                journal.flush()
                os.fsync(journal.fileno())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[3]), streams="stream" in sys.argv[4:]))
