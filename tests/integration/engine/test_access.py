"""P15: the Prefect server's port answers its engine, and a browser that logged in; nobody else, whoever asks."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.integration.engine.conftest import Bench
from tests.support.prefect_api import ask_prefect

from phasegate.flows.engine import control
from phasegate.flows.engine.prefect_backend import server_process

pytestmark = pytest.mark.timeout(600)
JSON = "application/json"
EVERYTHING = "/api/flow_runs/filter"


@pytest.fixture(scope="module")
def port(bench: Bench) -> int:
    """The Prefect server's port."""
    return urlsplit(bench.engine().api_url).port or 0


def ask(port: int, target: str = EVERYTHING, *headers: tuple[str, str], method: str = "POST", body: str = "{}") -> int:
    """Status of the answer to a request that is written byte by byte; nothing is added to it."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close"]
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode())
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1])


def log_in(bench: Bench, port: int) -> tuple[str, str]:
    """A session's cookie and its authorization, as the login page's script gets them."""
    link = urlsplit(control.login_link(bench.settings, bench.engine()))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as browser:
        own = {"Host": link.netloc, "Origin": f"http://{link.netloc}", "Sec-Fetch-Site": "same-origin"}
        answer = browser.post("/phasegate/session", json={"token": link.fragment}, headers=own)
    cookie = answer.raise_for_status().headers["set-cookie"].partition(";")[0]
    return cookie, "Basic " + base64.b64encode(f"phasegate:{answer.json()['key']}".encode()).decode()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "prefect.localhost", "localhost", "evil.example", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize(
    "extra",
    [
        [("Content-Type", JSON)],
        [("Content-Type", "text/plain")],
        [("Content-Type", JSON), ("Origin", "https://evil.example")],
        [("Content-Type", JSON), ("Origin", "null"), ("Authorization", "Basic cGhhc2VnYXRlOg==")],
        [("Content-Type", JSON), ("Authorization", "Bearer x"), ("Cookie", "phasegate_pages=1")],
    ],
)
def test_nobody_reads_or_writes_without_the_secret(port: int, host: str, extra: list[tuple[str, str]]) -> None:
    """W1. Mutation tried: `_check_program` empty; `_check_key` empty."""
    named = ("Host", f"{host}:{port}")
    assert ask(port, EVERYTHING, named, *extra) in {400, 401, 403, 415, 421}
    assert ask(port, "/api/work_pools/phasegate", named, *extra, method="PATCH", body='{"is_paused": true}') in {
        400,
        401,
        403,
        415,
        421,
    }
    assert ask(port, "/api/health", named, *extra, method="GET", body="") in {401, 403, 421}


def test_a_host_is_exact_and_named_once(bench: Bench, port: int) -> None:
    """DNS rebinding, with the secret known all the same. Mutation tried: a host compared by its name alone."""
    known = [("Content-Type", JSON), ("Authorization", authorization(bench))]
    own = ("Host", f"127.0.0.1:{port}")
    assert ask(port, EVERYTHING, own, *known) == 200
    assert ask(port, EVERYTHING, ("Host", "evil.example"), *known) == 421
    assert ask(port, EVERYTHING, ("Host", "127.0.0.1"), *known) == 421
    assert ask(port, EVERYTHING, ("Host", f"127.0.0.1:{port + 1}"), *known) == 421
    assert ask(port, EVERYTHING, own, ("Host", "evil.example"), *known) == 400
    assert ask(port, EVERYTHING, *known) == 400
    assert ask(port, EVERYTHING, own, *known, ("Authorization", "Basic x")) == 400


def test_a_program_sends_json_and_no_origin(bench: Bench, port: int) -> None:
    """Mutation tried: `_check_body` without the media type."""
    own, secret = ("Host", f"127.0.0.1:{port}"), ("Authorization", authorization(bench))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""):
        assert ask(port, EVERYTHING, own, secret, ("Content-Type", kind)) == 415
    assert ask(port, EVERYTHING, own, secret) == 415
    assert ask(port, EVERYTHING, own, secret, ("Content-Type", "Application/JSON; charset=utf-8")) == 200
    assert ask(port, EVERYTHING, own, secret, ("Content-Type", JSON), ("Origin", f"http://127.0.0.1:{port}")) == 403
    assert ask(port, EVERYTHING, own, secret, ("Content-Type", JSON), ("Sec-Fetch-Site", "same-origin")) == 403


def test_a_browser_that_logged_in_reads_with_its_key_alone(bench: Bench, port: int) -> None:
    """The cookie, which every port of the host is sent, opens no record.

    Mutations tried: `needs_key` always false; `_check_origin` empty.
    """
    cookie, key = log_in(bench, port)
    site = f"prefect.localhost:{port}"
    host, kind, own = ("Host", site), ("Content-Type", JSON), ("Origin", f"http://{site}")
    assert ask(port, EVERYTHING, host, kind, own, ("Authorization", key)) == 200
    assert ask(port, EVERYTHING, host, kind, own, ("Cookie", cookie)) == 401
    for path in ("//api/flow_runs/filter", "/v2/../api/flow_runs/filter", "/%61pi/flow_runs/filter"):
        assert ask(port, path, host, kind, own, ("Cookie", cookie)) != 200, path
    assert ask(port, EVERYTHING, host, kind, ("Authorization", key)) == 403  # a write that names no origin
    for origin in (f"http://prefect.localhost:{port + 1}", f"https://{site}", "null", f"http://127.0.0.1:{port}"):
        assert ask(port, EVERYTHING, host, kind, ("Origin", origin), ("Authorization", key)) == 403
    assert ask(port, EVERYTHING, host, kind, own, ("Authorization", key), ("Sec-Fetch-Site", "same-site")) == 403
    assert ask(port, EVERYTHING, ("Host", f"127.0.0.1:{port}"), kind, ("Authorization", key)) == 401
    page = ("Accept", "text/html")
    assert ask(port, "/v2/", host, page, ("Cookie", cookie), method="GET", body="") == 200
    assert ask(port, "/v2/", host, page, method="GET", body="") == 401


def test_a_link_logs_in_once_and_a_preview_does_not_spend_it(bench: Bench, port: int) -> None:
    """Mutation tried: no token is spent."""
    link = urlsplit(control.login_link(bench.settings, bench.engine()))
    assert (link.netloc, link.path) == (f"prefect.localhost:{port}", "/phasegate")
    own = [("Host", link.netloc), ("Origin", f"http://{link.netloc}"), ("Content-Type", JSON)]
    assert ask(port, link.path, own[0], method="GET", body="") == 200
    body = json.dumps({"token": link.fragment})
    forged = json.dumps({"token": link.fragment[:-1] + ("0" if link.fragment[-1] != "0" else "1")})
    foreign = [own[0], ("Origin", "http://evil.example"), own[2]]
    for wrong in (forged, "[]", "{", '{"token": 1}', '{"token": "9999999999.a.b"}', "[" * 2000):
        assert ask(port, "/phasegate/session", *own, body=wrong) == 401
    assert ask(port, "/phasegate/session", *foreign, body=body) == 403
    assert ask(port, "/phasegate/session", *own, body=body) == 200
    assert ask(port, "/phasegate/session", *own, body=body) == 401


def test_websockets_take_the_secret(bench: Bench, port: int) -> None:
    """Mutation tried: WebSockets are forwarded unchecked."""
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    upgrade += [("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="), ("Sec-WebSocket-Protocol", "prefect")]
    own = ("Host", f"127.0.0.1:{port}")

    def open_with(*headers: tuple[str, str]) -> int:
        lines = ["GET /api/events/out HTTP/1.1", *(f"{name}: {value}" for name, value in [*headers, *upgrade])]
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            return int(connection.makefile("rb").readline().split()[1])

    assert open_with(own) == 403
    assert open_with(own, ("Authorization", authorization(bench)), ("Origin", "https://evil.example")) == 403
    _, key = log_in(bench, port)
    assert open_with(("Host", f"prefect.localhost:{port}"), ("Authorization", key)) == 403
    assert open_with(own, ("Authorization", authorization(bench))) == 101


def test_a_body_is_bounded(bench: Bench, port: int) -> None:
    """W4: one that says how long it is, and one without end. Mutation tried: `_read` without its limit."""
    own = [("Host", f"127.0.0.1:{port}"), ("Content-Type", JSON), ("Authorization", authorization(bench))]
    lines = [f"POST {EVERYTHING} HTTP/1.1", *(f"{name}: {value}" for name, value in own)]
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall("\r\n".join([*lines, "Content-Length: 690000000", "", ""]).encode())
        assert b" 413 " in connection.makefile("rb").readline()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode())
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            for _ in range(64):
                connection.sendall(chunk)
                sent += 1
        except OSError:
            assert sent < 64
        else:
            assert b" 413 " in connection.makefile("rb").readline()


def test_another_user_of_the_machine_gets_nothing(bench: Bench, port: int) -> None:
    """The secret and the state folder are its owner's alone, and the port says nothing."""
    assert stat.S_IMODE(bench.settings.prefect_credentials.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.settings.home.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        nobody = [shutil.which("setpriv") or "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        reading = subprocess.run([*nobody, "cat", bench.settings.prefect_credentials], capture_output=True, check=False)
        assert (reading.returncode, reading.stdout) == (1, b"")
    assert _is_taken(socket.AF_INET6, "::1", port) == server_process.has_ipv6()


def test_prefect_was_asked_with_the_secret_meanwhile(bench: Bench) -> None:
    answer: Any = ask_prefect(bench.settings, "/admin/version")
    assert re.match(r"\d+\.\d+", answer.json())


def _is_taken(family: socket.AddressFamily, host: str, port: int) -> bool:
    """True if a port cannot be listened on, as another user would to be taken for the server."""
    with socket.socket(family) as listener:
        try:
            listener.bind((host, port))
        except OSError:
            return True
    return False


def authorization(bench: Bench) -> str:
    """The header that the engine's own client sends."""
    return "Basic " + base64.b64encode(server_process.read_credentials(bench.settings).encode()).decode()
