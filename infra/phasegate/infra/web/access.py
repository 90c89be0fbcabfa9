"""Access to a web server on loopback: an ASGI middleware that every request passes before the app sees it.

Loopback keeps nobody of the same machine out, and a web page can make its reader's browser ask. So a server answers to
exact host names alone, `service` for programs and `pages` for browsers:

- A program sends the server's secret with every request.
- A browser logs in by a link once. Its cookie admits it to pages alone, since a browser sends cookies to every port of
  a host. All else takes the session's key, in a header.

Rules after `docs/security.md`, "Web servers". Refusals: 400, 401, 403, 413, 415, 421.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.web import login_page
from phasegate.infra.web.body import (
    App,
    BodyTooLargeError,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    answer,
    read_body,
    replayed,
)
from phasegate.infra.web.login import SESSION_SECONDS, BrowserSession, BrowserSessions

BODY_LIMIT = 16 * 1024 * 1024
_TOKEN_LIMIT = 4096
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_AT_MOST_ONCE = frozenset({b"host", b"origin", b"authorization", b"content-type", b"content-length", b"sec-fetch-site"})
_WEBSOCKET_REFUSED = 1008
_LOG_IN = "Open the link that `phasegate up` prints."
_BROWSER_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}


@dataclass(frozen=True)
class WebAddress:
    """Address under which a server is reached.

    Attributes:
        host: The host name, or an IPv4 address.
        port: The TCP port.
    """

    host: str
    port: int

    @property
    def authority(self) -> str:
        """`HOST:PORT`, as the header `Host` has it."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """`http://HOST:PORT`."""
        return f"http://{self.authority}"


@dataclass(frozen=True)
class AccessRules:
    """Rules of one server.

    Attributes:
        service: The address for programs.
        pages: The address for browsers.
        credentials: The user and the secret, `USER:SECRET`, that a program sends as `Basic` authorization.
        needs_key: True for a browser's request, by method and path, that takes the key; for others a cookie is enough.
        storage_item: The item of the browser's local storage in which the pages expect their credentials.
        content_policy: The content security policy of the pages.
        body_limit: The largest body of a request, in bytes.
    """

    service: WebAddress
    pages: WebAddress
    credentials: str = field(repr=False)
    needs_key: Callable[[str, str], bool]
    storage_item: str
    content_policy: str
    body_limit: int = BODY_LIMIT


class _Refused(Exception):
    """Request that the app never sees."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class AccessMiddleware:
    """The app behind its access rules."""

    def __init__(self, app: App, rules: AccessRules, sessions: BrowserSessions) -> None:
        """Wrap an app.

        Args:
            app: An app that need not check who asks. It is given the path that the rules saw.
            rules: The rules.
            sessions: The sessions of browsers.
        """
        self._app, self._rules, self._sessions = app, rules, sessions
        self._authorization = basic_authorization(rules.credentials)
        self._cookie = f"phasegate_pages_{rules.pages.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app answer it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        is_page = False
        try:
            headers = _headers(scope)
            is_page = self._is_for_pages(headers)
            if is_page:
                await self._answer_browser(scope, headers, receive, _with_headers(send, self._browser_headers()))
            else:
                self._check_program(headers)
                await self._forward(scope, headers, receive, send)
        except _Refused as refused:
            await _refuse(scope, send, refused, html=is_page and _is_navigation(scope))

    def _is_for_pages(self, headers: dict[bytes, bytes]) -> bool:
        host = headers.get(b"host", b"").decode("latin-1")
        if not host:
            raise _Refused(HTTPStatus.BAD_REQUEST, "The request names no host.")
        if host == self._rules.pages.authority:
            return True
        if host == self._rules.service.authority:
            return False
        raise _Refused(
            HTTPStatus.MISDIRECTED_REQUEST, f"This server is {self._rules.pages.origin}; the request names another."
        )

    def _check_program(self, headers: dict[bytes, bytes]) -> None:
        if b"origin" in headers or b"sec-fetch-site" in headers:
            raise _Refused(HTTPStatus.FORBIDDEN, f"Browsers use {self._rules.pages.origin}.")
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            raise _Refused(HTTPStatus.UNAUTHORIZED, "This server answers to its engine alone.")

    async def _answer_browser(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            raise _Refused(HTTPStatus.FORBIDDEN, "No page of this server opens a WebSocket.")
        method, path = scope["method"], scope["path"]
        self._check_origin(headers, method, is_navigation=_is_navigation(scope))
        if path in {login_page.LOGIN_PATH, login_page.SCRIPT_PATH} and method == "GET":
            await self._send_login(send, is_script=path == login_page.SCRIPT_PATH)
        elif path == login_page.SESSION_PATH and method == "POST":
            await self._log_in(scope, headers, receive, send)
        elif path == login_page.SESSION_PATH:
            self._check_key(headers)
            await answer(send, HTTPStatus.NO_CONTENT, b"", [])
        else:
            if self._rules.needs_key(method, path):
                self._check_key(headers)
            elif not self._has_cookie(headers):
                raise _Refused(HTTPStatus.UNAUTHORIZED, _LOG_IN)
            await self._forward(scope, headers, receive, send)

    def _check_origin(self, headers: dict[bytes, bytes], method: str, *, is_navigation: bool) -> None:
        origin = headers.get(b"origin")
        is_own = origin == self._rules.pages.origin.encode()
        if (origin is not None and not is_own) or (method not in _SAFE_METHODS and not is_own):
            raise _Refused(HTTPStatus.FORBIDDEN, "A page of another origin may not ask this server.")
        site = headers.get(b"sec-fetch-site", b"same-origin")
        if site not in {b"same-origin", b"none"} and not (is_navigation and method == "GET"):
            raise _Refused(HTTPStatus.FORBIDDEN, "A page of another site may not ask this server.")

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        try:
            key = base64.b64decode(encoded, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
        if scheme.lower() != b"basic" or not self._sessions.has_key(key):
            raise _Refused(HTTPStatus.UNAUTHORIZED, _LOG_IN)

    def _has_cookie(self, headers: dict[bytes, bytes]) -> bool:
        cookies = [cookie.strip().partition("=") for cookie in headers.get(b"cookie", b"").decode("latin-1").split(";")]
        return any(name == self._cookie and self._sessions.has_cookie(value) for name, _, value in cookies)

    async def _log_in(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        _check_body(scope, headers, _TOKEN_LIMIT)
        session = self._sessions.open(_token(await _read(receive, _TOKEN_LIMIT) or b""))
        if session is None:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "This link was used already, or is too old.")
        await answer(
            send,
            HTTPStatus.OK,
            json.dumps({"key": session.key}).encode(),
            [(b"content-type", b"application/json"), (b"set-cookie", self._set_cookie(session))],
        )

    def _set_cookie(self, session: BrowserSession) -> bytes:
        return f"{self._cookie}={session.cookie}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Lax".encode()

    async def _send_login(self, send: Send, *, is_script: bool) -> None:
        if is_script:
            content, kind = login_page.script(self._rules.storage_item), b"text/javascript; charset=utf-8"
        else:
            content, kind = login_page.PAGE, b"text/html; charset=utf-8"
        policy = (b"content-security-policy", login_page.CONTENT_POLICY.encode())
        await answer(send, HTTPStatus.OK, content.encode(), [(b"content-type", kind), policy])

    async def _forward(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Forward a request to the app, with its body."""
        if scope["type"] == "http":
            _check_body(scope, headers, self._rules.body_limit)
            body = await _read(receive, self._rules.body_limit)
            if body is None:
                return
            receive = replayed(body, receive)
        await self._app(scope, receive, send)

    def _browser_headers(self) -> dict[bytes, bytes]:
        return {**_BROWSER_HEADERS, b"content-security-policy": self._rules.content_policy.encode()}


def basic_authorization(credentials: str) -> bytes:
    """The header `Authorization` for `USER:SECRET`."""
    return b"Basic " + base64.b64encode(credentials.encode())


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers; of those that may come several times, the last one."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in _AT_MOST_ONCE:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"The request has two headers {name.decode('latin-1')}.")
        headers[name] = value
    return headers


def _is_navigation(scope: Scope) -> bool:
    """True if a browser asks for a page to show."""
    headers = dict(scope["headers"])
    mode = headers.get(b"sec-fetch-mode", b"navigate")
    return mode == b"navigate" and b"text/html" in headers.get(b"accept", b"")


def _check_body(scope: Scope, headers: dict[bytes, bytes], limit: int) -> None:
    """Refuse a body that is too large, and one that a plain form of any page could have sent."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise _Refused(HTTPStatus.BAD_REQUEST, "The request's length is not a number.")
    if len(length) > len(str(limit)) or int(length) > limit:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(BodyTooLargeError(limit)))
    has_body = b"transfer-encoding" in headers or int(length) > 0
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if has_body and scope["method"] not in _SAFE_METHODS and media_type != b"application/json":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This server takes application/json alone.")


async def _read(receive: Receive, limit: int) -> bytes | None:
    try:
        return await read_body(receive, limit)
    except BodyTooLargeError as error:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from error


def _token(body: bytes) -> str:
    token = json_table_or_empty(body, "the body").get("token")
    return token if isinstance(token, str) else ""


def _with_headers(send: Send, headers: dict[bytes, bytes]) -> Send:
    """Send answers with further headers, unless they have them already."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own: Headers = list(message.get("headers", []))
            present = {name.lower() for name, _ in own}
            message = {**message, "headers": own + [entry for entry in headers.items() if entry[0] not in present]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, refused: _Refused, *, html: bool) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _WEBSOCKET_REFUSED, "reason": refused.reason})
    elif html and refused.status is HTTPStatus.UNAUTHORIZED:
        policy = (b"content-security-policy", login_page.CONTENT_POLICY.encode())
        page = [(b"content-type", b"text/html; charset=utf-8"), policy]
        await answer(_with_headers(send, _BROWSER_HEADERS), refused.status, login_page.PAGE.encode(), page)
    else:
        body = json.dumps({"detail": refused.reason}).encode()
        await answer(send, refused.status, body, [(b"content-type", b"application/json")])
