"""A model on loopback that plays one case: `python -m benchmarks.stalls.model CASE`. Prints its port."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.stalls.cases import CASES, encoded

_RESULTS = {"acceptance_criteria": "prd", "files": "testing"}
"""Keys of results by which a stage is known."""


def main(case: str) -> None:
    """Answer until the process is ended."""
    turns = CASES[case].turns()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = _stream(turns[_stage(request)], request)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def _stage(request: dict[str, Any]) -> str:
    finish = next(tool["function"] for tool in request["tools"] if tool["function"]["name"] == "finish")
    keys = finish["parameters"]["properties"]
    return next((stage for key, stage in _RESULTS.items() if key in keys), "implementation")


def _stream(turns: list[Any], request: dict[str, Any]) -> bytes:
    number = sum(message["role"] == "assistant" for message in request["messages"])
    text, calls = encoded(turns[min(number, len(turns) - 1)], number)
    delta = {
        "role": "assistant",
        "content": text,
        "tool_calls": [{**call, "index": at} for at, call in enumerate(calls)],
    }
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10}},
    ]
    return b"".join(b"data: %b\n\n" % json.dumps({"model": "stub", **event}).encode() for event in events) + (
        b"data: [DONE]\n\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
