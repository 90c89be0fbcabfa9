"""Requests are recorded from the clients that tests use, and sent again as one conversation for each test.

Mutations tried: no cookies, no values of answers in later requests, requests of the product recorded as the tests', any
answer to OPTIONS taken for a route that is missing: each fails a test.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from tests.cheats.ground import Ground, Row
from tests.integration.grading.greeter import FILES as GREETER
from tests.integration.grading.greeter import sealed_file, served

NODE = "node --test --test-reporter=junit > {junit}"
SHOP = """\
const http = require('node:http');
const { randomUUID } = require('node:crypto');

const carts = new Map();

async function answer(request, response) {
  let body = '';
  for await (const piece of request) body += piece;
  const [, kind, id] = request.url.split('/');
  const send = (status, value, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  if (kind === 'healthz') return send(200, {});
  if (request.method === 'POST' && kind === 'carts') {
    const cart = { id: randomUUID(), owner: randomUUID(), items: [] };
    carts.set(cart.id, cart);
    return send(201, { id: cart.id }, { 'set-cookie': `owner=${cart.owner}; Path=/` });
  }
  const cart = carts.get(id);
  if (!cart) return send(404, { error: 'no such cart' });
  if (request.headers.cookie !== `owner=${cart.owner}`) return send(403, { error: 'not yours' });
  if (request.method === 'PUT') cart.items.push(JSON.parse(body).name);
  return send(200, { items: cart.items.map((name) => name) });
}

module.exports = () => http.createServer(answer);
if (require.main === module) module.exports().listen(Number(process.env.PORT), '127.0.0.1');
"""
USES = """\
const test = require('node:test');
const assert = require('node:assert');
const shop = require('../shop.js');

test('NAME', async () => {
  const server = shop().listen(0);
  const base = `http://127.0.0.1:${server.address().port}`;
  const made = await fetch(`${base}/carts`, { method: 'POST' });
  const { id } = await made.json();
  const headers = { cookie: made.headers.get('set-cookie').split(';')[0], 'content-type': 'application/json' };
  const put = await fetch(`${base}/carts/${id}`, { method: 'PUT', headers, body: JSON.stringify({ name: 'tea' }) });
  const { items } = await put.json();
  server.closeAllConnections();
  server.close();
  assert.deepEqual(WANTED);
});
"""
FILES = {
    "shop.js": SHOP,
    "test/shop.test.js": USES.replace("WANTED", "put.status, 200").replace("NAME", "a cart"),
    "package.json": '{"name": "shop", "version": "1.0.0"}\n',
}
SEALED = sealed_file("test/accept.test.js", USES.replace("WANTED", "items, ['TEA']").replace("NAME", "AC1"))


@pytest.fixture(autouse=True)
def plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_a_conversation_is_held_with_a_node_service(tmp_path: Path) -> None:
    ground = Ground(tmp_path, FILES)
    row = Row(
        "", {"shop.js": SHOP.replace("(name) => name", "(name) => name.toUpperCase()")}, "passed", "", sealed=SEALED
    )
    told = served(ground, row, start="node shop.js", test=NODE, own="test/shop.test.js")
    assert told.findings == ()
    assert told.summary.recorded
    assert told.summary.beside_tests == ()
    (difference,) = told.summary.differences
    assert (difference.before, difference.after, difference.criteria) == (
        '200 {"items":["tea"]}',
        '200 {"items":["TEA"]}',
        ("AC1",),
    )


RELAY = """\
import http.client
from urllib.parse import urlsplit


def relayed(base, path):
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=5)
    connection.request("GET", path)
    return connection.getresponse().read().decode()
"""
ASKS_ITSELF = """\
import http.client
import threading
from http.server import HTTPServer
from urllib.request import urlopen

import relay
import server


def test_ac1():
    with HTTPServer(("127.0.0.1", 0), server.Handler) as own:
        threading.Thread(target=own.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{own.server_port}"
        assert relay.relayed(base, "/hello?name=other") == "Hello other"
        assert urlopen(f"{base}/hello?name=test").read() == b"Hello test"
        own.shutdown()
"""


def test_what_product_code_sends_is_not_the_tests_request(tmp_path: Path) -> None:
    ground = Ground(tmp_path, GREETER)
    row = Row("", {"relay.py": RELAY}, "passed", "", sealed=sealed_file("tests/test_accept.py", ASKS_ITSELF))
    told = served(ground, row)
    assert told.findings == ()
    assert (told.summary.from_sealed, told.summary.recorded) == (1, True)


UVICORN = f"{shlex.quote(sys.executable)} -m uvicorn {{module}}:app --port {{port}} --log-level warning"
APP = """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def hello(request):
    return PlainTextResponse("hello")


ROUTES = [Route("/healthz", hello), Route("/hello", hello)]
app = Starlette(routes=ROUTES)
"""
SHOUT = """

def shout(request):
    return PlainTextResponse("HELLO")


ROUTES.append(Route("/shout", shout))
app = Starlette(routes=ROUTES)
"""
ASKS = """\
from starlette.testclient import TestClient

from app import app


def test_{name}():
    assert TestClient(app).get("/{name}").text == "{wanted}"
"""
ELSEWHERE = (
    "from app import Route, Starlette, hello\n\n"
    "app = Starlette(routes=[Route('/healthz', hello), Route('/hello', hello)])\n"
)


STARLETTE = {
    "app.py": APP,
    "main.py": ELSEWHERE,
    "tests/test_hello.py": ASKS.format(name="hello", wanted="hello"),
    "pyproject.toml": '[project]\nname = "app"\nversion = "1"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
}


def test_a_route_that_only_tests_reach_fails_the_grade(tmp_path: Path) -> None:
    ground = Ground(tmp_path, STARLETTE)
    sealed = sealed_file("tests/test_accept.py", ASKS.format(name="shout", wanted="HELLO"))
    row = Row("", {"app.py": APP + SHOUT}, "passed", "", sealed=sealed)
    told = served(ground, row, start=UVICORN.replace("{module}", "main"))
    assert {(one.code, one.path, one.severity) for one in told.findings} == {("not-served", "GET /shout", "cheating")}
    (beside,) = told.summary.beside_tests
    assert (beside.before, beside.after) == ("200 HELLO", "404 Not Found")


STORE = """

STORE = []


def last(request):
    return PlainTextResponse(*STORE[-1:] or ("nothing yet", 404))


ROUTES.append(Route("/last", last))
app = Starlette(routes=ROUTES)
"""


def test_a_route_that_has_nothing_to_say_yet_is_only_named(tmp_path: Path) -> None:
    ground = Ground(tmp_path, STARLETTE)
    asks = ASKS.format(name="last", wanted="tea").replace("    assert", "    STORE.append('tea')\n    assert")
    sealed = sealed_file("tests/test_accept.py", asks.replace("import app\n", "import STORE, app\n"))
    row = Row("", {"app.py": APP + STORE}, "passed", "", sealed=sealed)
    told = served(ground, row, start=UVICORN.replace("{module}", "app"))
    assert told.findings == ()
    assert [(one.before, one.after) for one in told.summary.beside_tests] == [("200 tea", "404 nothing yet")]
