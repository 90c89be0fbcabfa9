"""Recorder of the requests that tests send to the service: to an application in their own process, or to loopback.

Runs inside the sandbox, in each Python process of the tests, before any of their code. It wraps the clients of common
libraries as they are imported. Requests that product code sends to others are left out. Python 3.8 and later.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import json
import os
import sys
import weakref
from typing import Any
from urllib.parse import quote, urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # noqa: S104 - a name to compare with
LARGEST = 64 * 1024
MOST = 2000
_OF_CLIENT, _OF_SESSION = "_transport_for_url", "_request"
"""Methods of httpx and aiohttp that have no public name."""
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", f"{os.sep}node_modules{os.sep}")


class Recorder:
    """Writer of exchanges, a line of JSON each."""

    def __init__(self, folder: str) -> None:
        """Read the order that lies beside the recorder.

        Args:
            folder: Holds `recorder.json` with the checkout's `root`, paths of `tests` and `services`, names of
                variables that hold the addresses of others.
        """
        with open(os.path.join(folder, "recorder.json"), encoding="utf-8") as file:
            order = json.load(file)
        self.root = os.path.realpath(order["root"]) + os.sep
        self.tests = set(order["tests"])
        self.others = [os.environ.get(name, "") for name in order["services"]]
        self.file = os.path.join(folder, f"exchanges-{os.getpid()}.jsonl")
        self.written = 0

    def caller(self) -> tuple[str, str]:
        """Path of the innermost file of the project that is running, and of the innermost test file."""
        frame, first = inspect.currentframe(), ""
        while frame:
            name = frame.f_code.co_filename
            path = os.path.realpath(name) if os.path.isabs(name) else os.path.realpath(os.path.join(self.root, name))
            if path.startswith(self.root) and not any(part in path for part in _LIBRARIES):
                relative = path[len(self.root) :]
                first = first or relative
                if relative in self.tests:
                    return first, relative
            frame = frame.f_back
        return first, ""

    def is_test_s(self, host: str | None, port: int | None) -> bool:
        """Tell if a request on the wire is a test's own, to a service of this machine."""
        if host not in LOOPBACK or any(f":{port}" in other for other in self.others):
            return False
        first, test = self.caller()
        return not first or first == test

    def tell(
        self, method: str, path: str, headers: Any, body: bytes | None, status: int, answered: Any, answer: bytes | None
    ) -> None:
        """Write an exchange; one whose body is unknown or large is none that can be sent again."""
        if body is None or len(body) > LARGEST or self.written >= MOST:
            return
        self.written += 1
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        exchange = {
            "test": test,
            "file": test.partition("::")[0] or self.caller()[1],
            "method": method.upper(),
            "path": path if path.startswith("/") else f"/{path}",
            "headers": [[str(name), str(value)] for name, value in headers],
            "body": base64.b64encode(body).decode(),
            "status": status,
            "answered": [[str(name), str(value)] for name, value in answered],
            "answer": None if answer is None else base64.b64encode(answer[:LARGEST]).decode(),
        }
        with contextlib.suppress(OSError), open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(exchange) + "\n")


def of_environ(environ: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]]]:
    """Method, path and headers of a WSGI request."""
    path = quote(
        (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/%:@!$&'()*+,;=~"
    )
    query = environ.get("QUERY_STRING", "")
    headers = [
        (name[5:].replace("_", "-").title(), value) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        headers.append(("Content-Type", environ["CONTENT_TYPE"]))
    return environ.get("REQUEST_METHOD", "GET"), f"{path}?{query}" if query else path, headers


def of_url(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def wrap_werkzeug(module: Any, recorder: Recorder) -> None:
    """Record requests of the test clients of Flask and Werkzeug."""
    real = module.Client.run_wsgi_app

    def run_wsgi_app(self: Any, environ: dict[str, Any], *words: Any, **named: Any) -> Any:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        chunks, status, headers = real(self, environ, *words, **named)
        answer = None
        if "Content-Length" in headers:  # else it may be a stream without end
            answer = b"".join(chunks)
            if hasattr(chunks, "close"):
                chunks.close()
            chunks = [answer]
        recorder.tell(*of_environ(environ), body, int(status.split()[0]), headers.items(), answer)
        return chunks, status, headers

    module.Client.run_wsgi_app = run_wsgi_app


def wrap_django(module: Any, recorder: Recorder) -> None:
    """Record requests of Django's test client, which that of its REST framework is built on."""
    real = module.ClientHandler.__call__

    def call(self: Any, environ: dict[str, Any]) -> Any:
        body = environ["wsgi.input"].read() if environ.get("wsgi.input") else b""
        environ["wsgi.input"] = module.FakePayload(body)
        asked = of_environ(environ)
        answer = real(self, environ)
        content = None if getattr(answer, "streaming", False) else answer.content
        headers = [*answer.items(), *(("Set-Cookie", cookie.OutputString()) for cookie in answer.cookies.values())]
        recorder.tell(*asked, body, answer.status_code, headers, content)
        return answer

    module.ClientHandler.__call__ = call


def wrap_httpx(module: Any, recorder: Recorder) -> None:
    """Record requests of httpx and its heir, which the test clients of Starlette and FastAPI are built on."""

    def tell(client: Any, answer: Any) -> None:
        for response in (*answer.history, answer):
            kind = type(getattr(client, _OF_CLIENT)(response.request.url)).__name__
            wired = kind in ("HTTPTransport", "AsyncHTTPTransport")
            url = response.request.url
            if kind == "MockTransport" or (wired and not recorder.is_test_s(url.host, url.port)):
                continue
            with contextlib.suppress(module.StreamError, RuntimeError):
                body = response.request.content
                content = response.content if response.is_closed else None
                path = url.raw_path.decode("ascii", "replace")
                asked = response.request.headers.multi_items()
                recorder.tell(
                    response.request.method,
                    path,
                    asked,
                    body,
                    response.status_code,
                    response.headers.multi_items(),
                    content,
                )

    send, send_async = module.Client.send, module.AsyncClient.send

    def new_send(self: Any, *words: Any, **named: Any) -> Any:
        answer = send(self, *words, **named)
        tell(self, answer)
        return answer

    async def new_send_async(self: Any, *words: Any, **named: Any) -> Any:
        answer = await send_async(self, *words, **named)
        tell(self, answer)
        return answer

    module.Client.send, module.AsyncClient.send = new_send, new_send_async


def wrap_aiohttp(module: Any, recorder: Recorder) -> None:
    """Record requests of aiohttp's client, which its test client is built on."""
    real = getattr(module.ClientSession, _OF_SESSION)

    async def request(self: Any, method: str, url: Any, **named: Any) -> Any:
        answer = await real(self, method, url, **named)
        first = answer.history[0] if answer.history else answer
        about = first.request_info
        body: bytes | None = b""
        if named.get("json") is not None:
            body = json.dumps(named["json"]).encode()
        elif named.get("data") is not None:
            data = named["data"]
            body = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else None
        if answer.status != 101 and recorder.is_test_s(about.url.host, about.url.port):
            content = await answer.read() if first is answer and answer.content_length is not None else None
            path = about.url.raw_path_qs
            recorder.tell(method, path, about.headers.items(), body, first.status, first.headers.items(), content)
        return answer

    setattr(module.ClientSession, _OF_SESSION, request)


def wrap_tornado(module: Any, recorder: Recorder) -> None:
    """Record requests of Tornado's client, as its test cases send them."""
    real = module.AsyncHTTPClient.fetch

    def fetch(self: Any, *words: Any, **named: Any) -> Any:
        future = real(self, *words, **named)

        def tell(done: Any) -> None:
            if done.cancelled() or done.exception():
                return
            answer = done.result()
            asked, host = answer.request, urlsplit(str(answer.request.url)).hostname
            if host in LOOPBACK:
                body = asked.body or b""
                headers = asked.headers.get_all()
                status, answered = answer.code, answer.headers.get_all()
                recorder.tell(asked.method, of_url(asked.url), headers, body, status, answered, answer.body)

        future.add_done_callback(tell)
        return future

    module.AsyncHTTPClient.fetch = fetch


class Sent:
    """Request on its way through `http.client`."""

    def __init__(self, method: str, url: str, *, counts: bool) -> None:
        """Start with the request's line."""
        self.method, self.url, self.counts = method, url, counts
        self.headers: list[tuple[str, str]] = []
        self.body: bytes | None = b""
        self.in_head = False

    def add_header(self, header: Any, values: tuple[Any, ...]) -> None:
        """Take a header; a body that is sent in chunks is not told of."""
        texts = [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in (header, *values)]
        self.headers.append((texts[0], ", ".join(texts[1:])))
        if texts[0].lower() == "transfer-encoding":
            self.body = None

    def add(self, data: Any) -> None:
        """Take what is written: first the head, then the body."""
        if self.in_head:
            self.in_head = False
        elif self.body is not None:
            self.body = self.body + bytes(data) if isinstance(data, (bytes, bytearray)) else None


def wrap_http_client(module: Any, recorder: Recorder) -> None:
    """Record requests of `http.client`, which urllib, urllib3 and requests are built on."""
    kind = module.HTTPConnection
    real = {name: getattr(kind, name) for name in ("putrequest", "putheader", "endheaders", "send", "getresponse")}
    on_way: weakref.WeakKeyDictionary[Any, Sent] = weakref.WeakKeyDictionary()

    def putrequest(self: Any, method: str, url: str, *words: Any, **named: Any) -> None:
        counts = not isinstance(self, module.HTTPSConnection) and recorder.is_test_s(self.host, self.port)
        on_way[self] = Sent(method, url, counts=counts)
        real["putrequest"](self, method, url, *words, **named)

    def putheader(self: Any, header: Any, *values: Any) -> None:
        on_way[self].add_header(header, values)
        real["putheader"](self, header, *values)

    def endheaders(self: Any, *words: Any, **named: Any) -> None:
        on_way[self].in_head = True
        real["endheaders"](self, *words, **named)

    def send(self: Any, data: Any) -> None:
        if self in on_way:
            on_way[self].add(data)
        real["send"](self, data)

    def getresponse(self: Any, *words: Any, **named: Any) -> Any:
        answer, sent = real["getresponse"](self, *words, **named), on_way.get(self)
        if sent and sent.counts and answer.status != 101:
            _tell_sent(recorder, sent, answer)
        return answer

    for replacement in (putrequest, putheader, endheaders, send, getresponse):
        setattr(kind, replacement.__name__, replacement)


def _tell_sent(recorder: Recorder, sent: Sent, answer: Any) -> None:
    """Tell of an exchange; a body of known length is read, and put back for the caller."""
    content = None
    if getattr(answer, "length", None) is not None and answer.length <= LARGEST and not answer.chunked:
        content = answer.read()
        answer.fp, answer.length = io.BytesIO(content), len(content)
    recorder.tell(sent.method, of_url(sent.url), sent.headers, sent.body, answer.status, answer.getheaders(), content)


WRAPPERS = {
    "werkzeug.test": wrap_werkzeug,
    "django.test.client": wrap_django,
    "httpx": wrap_httpx,
    "httpx2": wrap_httpx,
    "aiohttp.client": wrap_aiohttp,
    "tornado.httpclient": wrap_tornado,
    "http.client": wrap_http_client,
}


class Finder:
    """Finder that has clients wrapped once they are loaded."""

    def __init__(self, recorder: Recorder) -> None:
        """Stand before the other finders."""
        self._recorder = recorder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module that is to be wrapped by the finders behind this one."""
        wrap = WRAPPERS.get(name)
        if wrap is None:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((candidate for candidate in specs if candidate is not None), None)
        loader: Any = spec and spec.loader
        if hasattr(loader, "exec_module"):
            load = loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                with contextlib.suppress(AttributeError):  # a version that is built otherwise
                    wrap(module, self._recorder)

            loader.exec_module = exec_module
        return spec


def main(folder: str) -> None:
    """Record from now on.

    Args:
        folder: Of the order and of the recorded exchanges.
    """
    recorder = Recorder(folder)
    sys.meta_path.insert(0, Finder(recorder))
    for name, wrap in WRAPPERS.items():
        if name in sys.modules:
            wrap(sys.modules[name], recorder)
