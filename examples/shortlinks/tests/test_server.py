from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from shortlinks.api import Api
from shortlinks.server import make_server
from shortlinks.store import Store


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    with make_server(Api(Store()), port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        server.shutdown()
        thread.join()


def test_a_link_made_over_http_redirects(connection: HTTPConnection) -> None:
    connection.request("POST", "/api/links", json.dumps({"url": "https://example.org/menu", "code": "menu"}))
    created = connection.getresponse()
    assert created.status == 201
    assert json.loads(created.read())["code"] == "menu"

    connection.request("GET", "/menu?from=mail")
    followed = connection.getresponse()
    assert (followed.status, followed.headers["Location"]) == (302, "https://example.org/menu")
