"""GitHub issues over real HTTP, from a server on loopback that answers as GitHub does."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from phasegate.infra.errors import TicketError
from phasegate.infra.tickets.github import issue_address
from phasegate.infra.tickets.read import read_ticket
from phasegate.infra.tickets.ticket import MAX_BYTES, Ticket

ISSUE: dict[str, Any] = {
    "id": 99,
    "node_id": "I_99",
    "number": 12,
    "title": "Greet  by name",
    "body": "Say hello.\r\n\r\nPolitely.\r\n",
    "html_url": "https://github.com/ana/shop/issues/12",
    "labels": [{"name": "api", "color": "fff"}, "small"],
    "user": {"login": "ana", "id": 1},
    "state": "open",
    "updated_at": "2026-01-01T00:00:00Z",
}


@dataclass
class Hub:
    """The server's answers, and the requests it got."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = json.dumps(ISSUE).encode()
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    moved_to: str = ""

    def says(self, **changes: Any) -> None:
        self.body = json.dumps(ISSUE | changes).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            moved = bool(state.moved_to) and self.path != state.moved_to
            self.send_response(301 if moved else state.status)
            if moved:
                self.send_header("Location", state.moved_to)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(0 if moved else len(state.body)))
            self.end_headers()
            if not moved:
                self.wfile.write(state.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def read(url: str, http: httpx.Client | None = None, **environment: str) -> Ticket:
    return read_ticket(url, stdin=lambda: b"", environment=environment, http=http)


def test_an_issue_becomes_a_ticket(hub: Hub):
    ticket = read("https://github.com/ana/shop/issues/12", GITHUB_API_URL=hub.url)

    assert ticket.model_dump(exclude={"native_ref"}) == {
        "schema_version": 1,
        "title": "Greet by name",
        "body": "Say hello.\n\nPolitely.",
        "key": "ana/shop#12",
        "url": "https://github.com/ana/shop/issues/12",
        "labels": ("api", "small"),
        "author": "ana",
        "source": "github",
    }
    assert json.loads(ticket.native_ref)["node_id"] == "I_99"
    assert [path for path, _ in hub.asked] == ["/repos/ana/shop/issues/12"]


def test_a_public_issue_needs_no_token(hub: Hub):
    read("https://github.com/ana/shop/issues/12", GITHUB_API_URL=hub.url)
    assert "authorization" not in hub.asked[0][1]


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GH_TOKEN"])
def test_the_token_is_sent(hub: Hub, name: str):
    read_ticket(f"{hub.url}/ana/shop/issues/12", stdin=lambda: b"", environment={name: "s3cret"})
    assert hub.asked[0][1]["authorization"] == "Bearer s3cret"


def test_the_token_stays_out_of_the_ticket(hub: Hub):
    assert "s3cret" not in read(f"{hub.url}/ana/shop/issues/12", GITHUB_TOKEN="s3cret").canonical()


def test_an_enterprise_hosts_api_is_found_from_the_address(hub: Hub):
    read(f"{hub.url}/ana/shop/issues/12#issuecomment-1")
    assert hub.asked[0][0] == "/api/v3/repos/ana/shop/issues/12"


@pytest.mark.parametrize(
    ("url", "environment", "api"),
    [
        ("https://github.com/a/b/issues/1", {}, "https://api.github.com"),
        ("https://www.github.com/a/b/issues/1/", {}, "https://api.github.com"),
        ("https://git.example.org/a/b/issues/1", {}, "https://git.example.org/api/v3"),
        ("https://git.example.org:8443/a/b/issues/1", {}, "https://git.example.org:8443/api/v3"),
        ("https://git.example.org/a/b/issues/1", {"GITHUB_API_URL": "https://x/api/"}, "https://x/api"),
    ],
)
def test_where_the_api_is(url: str, environment: dict[str, str], api: str):
    assert issue_address(url, environment).api == api


@pytest.mark.parametrize(
    ("environment", "sent"), [({}, False), ({"GH_HOST": "git.example.org"}, True), ({"GH_HOST": "other"}, False)]
)
def test_the_token_goes_to_no_stranger(environment: dict[str, str], sent: bool):
    seen: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append("authorization" in request.headers)
        return httpx.Response(401)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http, pytest.raises(TicketError) as raised:
        read("https://git.example.org/a/b/issues/1", http, GITHUB_TOKEN="s3cret", **environment)
    assert seen == [sent]
    assert ("GH_HOST=git.example.org" in raised.value.remedy) is not sent


def test_a_renamed_repository_is_followed(hub: Hub):
    hub.moved_to = "/repositories/7/issues/12"
    assert read(f"{hub.url}/ana/shop/issues/12").title == "Greet by name"


def test_an_issue_without_text_or_author(hub: Hub):
    hub.says(body=None, user=None, labels=[])
    ticket = read(f"{hub.url}/ana/shop/issues/12")
    assert (ticket.body, ticket.author, ticket.labels) == ("", "", ())


@dataclass(frozen=True)
class Refusal:
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(401, "does not accept the token"),
        Refusal(403, "does not allow reading ana/shop#12"),
        Refusal(
            403, "limits how often .* until 00:00:10 UTC", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "10"}
        ),
        Refusal(403, r"limits how often it may be asked \(403\)$", {"retry-after": "60"}),
        Refusal(429, "limits how often", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "nonsense"}),
        Refusal(404, "knows no issue ana/shop#12"),
        Refusal(410, "was deleted"),
        Refusal(500, "answered 500"),
        Refusal(304, "answered 304"),
    ],
)
def test_each_refusal_has_its_message(hub: Hub, refusal: Refusal):
    hub.status, hub.headers, hub.body = refusal.status, refusal.headers, b""
    with pytest.raises(TicketError) as raised:
        read(f"{hub.url}/ana/shop/issues/12")
    assert re.search(refusal.message, raised.value.message)
    assert raised.value.remedy


def test_a_pull_request_under_an_issues_address_is_refused(hub: Hub):
    hub.says(pull_request={"url": "…"})
    with pytest.raises(TicketError, match="pull request, not an issue"):
        read(f"{hub.url}/ana/shop/issues/12")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"title": 3}', b"\xff"])
def test_an_answer_that_is_no_issue(hub: Hub, body: bytes):
    hub.body = body
    with pytest.raises(TicketError, match="something that is no issue"):
        read(f"{hub.url}/ana/shop/issues/12")


def test_an_issue_over_the_limit(hub: Hub):
    hub.says(body="x" * (2 * MAX_BYTES))
    with pytest.raises(TicketError, match="over 1 MiB"):
        read(f"{hub.url}/ana/shop/issues/12")


def test_nobody_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TicketError, match="cannot be reached"):
        read(f"http://127.0.0.1:{port}/ana/shop/issues/12")


def test_no_answer_in_time():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        httpx.Client(timeout=0.2, trust_env=False) as http,
        pytest.raises(TicketError, match="did not answer in time"),
    ):
        read(f"http://127.0.0.1:{silent.getsockname()[1]}/ana/shop/issues/12", http)
