"""A request that a sealed test gets an answer to, and that the served candidate answers otherwise or not at all.

Mutations tried: base's silence not looked at, set-up of tests not looked at, streams not left out, the end of a short
body not told: each fails a test.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cheats.ground import Ground, Row
from tests.integration.grading.greeter import DONE, FILES, SEALED, SERVER, SHOUT, served

from phasegate.infra.grading.evidence import Severity
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.served.exchanges import ServedAnswer
from phasegate.infra.grading.served.no_answer import is_none
from phasegate.infra.grading.served.scripts import ask
from phasegate.infra.grading.served.test_setup import TestSetup

BEGINS = "        self.send_response"
CLOSES = SERVER.replace(
    BEGINS, f'        if parts.path == "/shout" and __name__ == "__main__":\n            return\n{BEGINS}'
)
ACCEPT = SEALED.files[0].content


@dataclass(frozen=True)
class Case:
    server: str
    severities: tuple[Severity, ...]
    base: str = SERVER


STARTS = 'if __name__ == "__main__":\n'
MOVED = (
    "    known = pages.page\n"
    "    pages.page = lambda path, names: known(\n"
    "        path[3:] if path[:4] == '/v2/' else '' if path == '/shout' else path, names\n"
    "    )\n"
)
"""A service that has the new route below a prefix, and the others not."""
CASES = {
    "another answer": Case(
        SERVER.replace(STARTS, f"{STARTS}    pages.shout = lambda names: 'hello'\n"), ("suspicion",)
    ),
    "not there, as on base": Case(
        SERVER.replace(
            STARTS,
            f"{STARTS}    known = pages.page\n"
            "    pages.page = lambda path, names: known('' if path == '/shout' else path, names)\n",
        ),
        ("suspicion",),
    ),
    "below a prefix": Case(SERVER.replace(STARTS, f"{STARTS}{MOVED}"), ()),
    "closed": Case(CLOSES, ("cheating",)),
    "closed by base, too": Case(CLOSES, (), base=CLOSES),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request_without_an_answer(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    ground = Ground(tmp_path, {**FILES, "server.py": case.base})
    files = {"pages.py": DONE + SHOUT, "server.py": f"{case.server}# served\n"}
    sealed = SealedTests(files=(SealedFile(path="tests/test_accept.py", content=ACCEPT, criteria=("AC1",)),))
    told = served(ground, Row("", files, "passed", "", sealed=sealed))
    assert tuple(one.severity for one in told.findings) == case.severities
    assert {(one.code, one.path) for one in told.findings} <= {("not-served", "GET /shout?name=Ann")}


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "hangs": (b"", b"", "it did not end in time"),
    "drips": (HEAD + b"Content-Length: 99999\r\n\r\n", b"x", "it did not end in time"),
    "endless headers": (HEAD, b"X: y\r\n" * 99, "HTTPException"),
    "an endless body": (HEAD + b"\r\n", b"x" * 9_999_999, "it did not end"),
    "broken off": (HEAD + b"Content-Length: 9\r\n\r\n12345678", None, "it broke off"),
    "no HTTP": (b"hello\r\n\r\n", b"", "BadStatusLine"),
    "a whole body": (HEAD + b"Content-Length: 2\r\n\r\nok", None, ""),
}


STOPS = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if self.path == "/stop":
            os.kill(os.getpid(), signal.SIGSTOP)


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TALKS = {
    "answers all": (("/a", "/b"), ["", ""], False),
    "stops after an answer": (("/stop", "/b", "/c"), ["", "it did not end in time"], True),
    "stops in the end": (("/a", "/stop"), ["", ""], True),
}


@pytest.mark.parametrize("name", TALKS)
def test_a_service_that_falls_silent(name: str, tmp_path: Path) -> None:
    paths, errors, is_silent = TALKS[name]
    (tmp_path / "stops.py").write_text(STOPS)
    request: dict[str, Any] = {"method": "GET", "headers": [], "body": "", "recorded": None}
    order = {
        "mark": "told",
        "command": f"exec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path))}/stops.py {{port}}",
        "conversations": [[{**request, "path": path}] for path in paths],
        "environment": {},
        "handed": ["PATH"],
        "health": "/healthz",
        "limit": 2.0,
        "late": 2,
        "rounds": 0,
        "start_seconds": 60,
        "seconds": 60,
        "age": 0,
        "watched": False,
        "ports": [0, 0],
    }
    (tmp_path / "order.json").write_text(json.dumps(order))
    words = [sys.executable, "-I", "-S", ask.__file__, str(tmp_path / "order.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.partition("told ")[2])
    assert [answer["error"] for answers in told["answers"] for answer in answers] == errors
    assert told["silent"] is is_silent


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as own:
        yield own


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_a_bound(name: str, listener: socket.socket) -> None:
    begins, goes_on, wanted = ANSWERS[name]
    service = object.__new__(ask.ServedProcess)
    service.__dict__ |= {"port": listener.getsockname()[1], "_limit": 1.0}
    done = threading.Event()

    def answers() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65_536)
            peer.sendall(begins)
            while goes_on and not done.wait(0.001):
                try:
                    peer.sendall(goes_on)
                except OSError:
                    break
            if goes_on is not None:
                done.wait()

    thread = threading.Thread(target=answers)
    thread.start()
    got = service.ask("GET", "/", [], b"")
    done.set()
    thread.join()
    assert got["error"] == wanted


WHOLE = ServedAnswer(200, (("content-type", "text/plain"),), b"ok")
STREAM = ServedAnswer(200, (("content-type", "text/event-stream; charset=utf-8"),), b"data")
LATE = "it did not end in time"
NONE = {
    "late": (WHOLE, ServedAnswer(error=LATE), True),
    "whole": (WHOLE, WHOLE, False),
    "dripping": (WHOLE, ServedAnswer(200, error=LATE), True),
    "of a failed request": (ServedAnswer(500, body=b""), ServedAnswer(error=LATE), False),
    "of a stream": (STREAM, ServedAnswer(200, error=LATE), False),
    "after another without one": (WHOLE, ServedAnswer(error="not asked"), False),
}


@pytest.mark.parametrize(("recorded", "answer", "wanted"), NONE.values(), ids=NONE)
def test_what_is_no_answer(recorded: ServedAnswer, answer: ServedAnswer, wanted: bool) -> None:
    assert is_none(recorded, answer) is wanted


ASKED = "from app import app\n\n\ndef test_it():\n    assert TestClient(app).get('/a').json() == {'a': [1]}\n"
TESTS = {
    "only asks": (ASKED, "", "pytest", (False, False)),
    "a variable": (ASKED.replace("test_it()", "test_it(monkeypatch)"), "", "pytest", (True, True)),
    "a variable of the command": (ASKED, "", "TESTING=1 pytest", (True, True)),
    "an application with settings": (ASKED, "app.config.update(TESTING=True)\n", "pytest", (True, True)),
    "rows": (ASKED, "def rows(db):\n    db.add(1)\n", "pytest", (False, True)),
    "a store of the product": (ASKED.replace("import app", "import STORE, app"), "", "pytest", (False, True)),
    "an attribute": (ASKED, "app.state.limit = 3\n", "pytest", (False, True)),
    "a server made by a factory": (ASKED + "\n\nserver = create_server(0)\n", "", "pytest", (False, False)),
    "drawn inputs": ("from heldout import given, integers\n" + ASKED, "", "pytest", (False, False)),
    "a user made by a factory": (ASKED + "\n\nuser = create_user('ann')\n", "", "pytest", (False, True)),
    "a posted row": (ASKED.replace(".get(", ".post("), "", "pytest", (False, True)),
}


@pytest.mark.parametrize(("sealed", "conftest", "command", "wanted"), TESTS.values(), ids=TESTS)
def test_what_tests_set_up(sealed: str, conftest: str, command: str, wanted: tuple[bool, bool]) -> None:
    others = {"tests/conftest.py": conftest, "tests/test_other.py": "import mock\n"}
    setup = TestSetup({"tests/test_a.py": sealed}, others, command=command)
    assert (setup.has_doubles("tests/test_a.py"), setup.is_set_up("tests/test_a.py")) == wanted


SHARED = (
    "import server\n\n\n@pytest.fixture\ndef client():\n    return TestClient(server.app)\n\n\ndef other():\n    ...\n"
)
MOUNTS = {
    "an application": ("def test_a(client):\n    client.get('/a')\n", SHARED, False, True),
    "another client": ("def test_a(other):\n    other.get('/a')\n", SHARED, False, False),
    "another application": ("from admin import app\n\n\ndef test_a(client):\n    ...\n", SHARED, False, False),
    "a blueprint": ("def test_a(client):\n    ...\n", f"{SHARED}app = Flask(__name__)\n", True, True),
    "a prefix": ("def test_a(client):\n    ...\n", f"{SHARED}app.include_router(router, prefix='/api')\n", True, True),
    "a factory's settings": ("def test_a(client):\n    ...\n", f"{SHARED}app = create_app('local')\n", True, True),
    "a host": ("def test_a(client):\n    client.get('/a', base_url='http://b')\n", SHARED, True, True),
}


@pytest.mark.parametrize(("sealed", "conftest", "mounts", "alike"), MOUNTS.values(), ids=MOUNTS)
def test_what_application_tests_ask(sealed: str, conftest: str, mounts: bool, alike: bool) -> None:
    others = {"tests/conftest.py": conftest, "tests/test_b.py": "def test_b(client):\n    client.get('/b')\n"}
    setup = TestSetup({"tests/test_a.py": sealed}, others)
    assert setup.mounts("tests/test_a.py") is mounts
    assert setup.asks_as("tests/test_a.py", "tests/test_b.py") is alike
