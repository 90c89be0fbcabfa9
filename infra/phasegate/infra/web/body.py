"""Bodies of requests, read whole and up to a limit, before an app sees anything of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class BodyTooLargeError(Exception):
    """Body of more bytes than the server takes."""

    def __init__(self, limit: int) -> None:
        """A body beyond `limit` bytes."""
        super().__init__(f"The request is larger than {limit} bytes.")


class BodyLimitMiddleware:
    """App that is handed no body beyond a limit; such a request is answered with 413."""

    def __init__(self, app: App, limit: int) -> None:
        """Wrap an app.

        Args:
            app: The app.
            limit: The largest body of a request, in bytes.
        """
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as the app does, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(receive, self._limit)
        except BodyTooLargeError as error:
            content = json.dumps({"detail": str(error)}).encode()
            await answer(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content, [(b"content-type", b"application/json")])
            return
        if body is not None:
            await self._app(scope, replayed(body, receive), send)


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Read a request's body.

    Returns:
        The body; None if the client went away before its end.

    Raises:
        BodyTooLargeError: It has more bytes than the limit.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLargeError(limit)
        if not message.get("more_body"):
            return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then the rest."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


async def answer(send: Send, status: HTTPStatus, body: bytes, headers: Headers) -> None:
    """Send a whole answer, which nobody may store."""
    lengths = [] if status is HTTPStatus.NO_CONTENT else [(b"content-length", str(len(body)).encode())]
    start = [*headers, (b"cache-control", b"no-store"), *lengths]
    await send({"type": "http.response.start", "status": int(status), "headers": start})
    await send({"type": "http.response.body", "body": body})
