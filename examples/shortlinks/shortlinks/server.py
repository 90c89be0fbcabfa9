"""The service on a socket."""

from __future__ import annotations

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from shortlinks.api import Api, Request

MAX_BODY_BYTES = 16 * 1024
log = logging.getLogger("shortlinks")


class Server(ThreadingHTTPServer):
    """One thread a request."""

    request_queue_size = (
        128  # with the default of 5, a connection that finds the queue full is tried again a second later
    )


def make_server(api: Api, port: int, host: str = "127.0.0.1") -> Server:
    """A server that answers from `api`; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # the answer leaves in one packet

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(self.rfile.read(min(length, MAX_BODY_BYTES)))

        def _answer(self, body: bytes) -> None:
            path = urlsplit(self.path).path
            response = api.respond(Request(self.command, path, body, self.client_address[0]))
            content = json.dumps(response.body).encode()
            self.send_response(response.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if response.location:
                self.send_header("Location", response.location)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            log.info("%s %s", self.client_address[0], format % args)

    return Server((host, port), Handler)
