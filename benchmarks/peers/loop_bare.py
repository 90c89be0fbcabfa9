"""A peer: the loop as one would write it by hand, with httpx and an fsynced journal of what was said."""

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


async def main(url: str, folder: Path) -> None:
    """Work through one trajectory."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You implement."},
        {"role": "user", "content": "Read the notes."},
    ]
    with (folder / "journal.jsonl").open("ab") as journal:
        async with httpx.AsyncClient() as http:
            finished = False
            while not finished:
                body = json.dumps({"model": "loopback", "tools": [_TOOL], "messages": messages}).encode()
                reply = await http.post(
                    f"{url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
                )
                message = reply.json()["choices"][0]["message"]
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
    asyncio.run(main(sys.argv[1], Path(sys.argv[3])))
