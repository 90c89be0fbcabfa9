"""A model that does whatever a hostile ticket asks of it, behind a real address: what it is sent is kept as it came."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Turns = Sequence[tuple[str, list[tuple[str, dict[str, Any]]]]]
"""Texts, and the tools that are called; at `CUT` in a text the stream is cut into pieces."""
CUT = "\0"


class HostileModel:
    """Speaks Chat Completions, streamed; obeys its script, whatever it is told of the outcome."""

    def __init__(self) -> None:
        self.stages: Mapping[str, Turns] = {}
        self.bodies: list[str] = []

    def answer(self, body: str) -> Iterator[dict[str, Any]]:
        """The next turn of the stage that asks, in pieces."""
        self.bodies.append(body)
        request = json.loads(body)
        tools = {tool["function"]["name"] for tool in request["tools"]}
        turns = self.stages["implementation" if "write_file" in tools else "prd"]
        text, calls = turns[sum(message["role"] == "assistant" for message in request["messages"])]
        for piece in text.split(CUT):
            yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}}]}
        for at, (name, arguments) in enumerate(calls):
            head = {"index": at, "id": f"c{at}", "type": "function", "function": {"name": name, "arguments": ""}}
            yield {"choices": [{"index": 0, "delta": {"tool_calls": [head]}}]}
            for piece in json.dumps(arguments).split(json.dumps(CUT)[1:-1]):
                more = {"index": at, "function": {"arguments": piece}}
                yield {"choices": [{"index": 0, "delta": {"tool_calls": [more]}}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Listen on loopback; gives the base URL."""
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for piece in model.answer(body):
                    self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            server.server_close()
