"""A request that a sealed test gets an answer to, and that the served candidate answers otherwise or not at all.

Mutations tried: base's silence not looked at, set-up of tests not looked at, streams not left out, the end of a short
body not told: each fails a test.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cheats.ground import Ground, Row
from tests.integration.grading.greeter import DONE, FILES, SEALED, SERVER, SHOUT, served

from phasegate.infra.grading.evidence import Severity
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.served.exchanges import Answer
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
CASES = {
    "another answer": Case(
        SERVER.replace(STARTS, f"{STARTS}    pages.shout = lambda names: 'hello'\n"), ("suspicion",)
    ),
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


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as own:
        yield own


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_a_bound(name: str, listener: socket.socket) -> None:
    begins, goes_on, wanted = ANSWERS[name]
    service = object.__new__(ask.Service)
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


WHOLE = Answer(200, (("content-type", "text/plain"),), b"ok")
STREAM = Answer(200, (("content-type", "text/event-stream; charset=utf-8"),), b"data")
LATE = "it did not end in time"
NONE = {
    "late": (WHOLE, Answer(error=LATE), True),
    "whole": (WHOLE, WHOLE, False),
    "dripping": (WHOLE, Answer(200, error=LATE), True),
    "of a failed request": (Answer(500, body=b""), Answer(error=LATE), False),
    "of a stream": (STREAM, Answer(200, error=LATE), False),
    "after another without one": (WHOLE, Answer(error="not asked"), False),
}


@pytest.mark.parametrize(("recorded", "answer", "wanted"), NONE.values(), ids=NONE)
def test_what_is_no_answer(recorded: Answer, answer: Answer, wanted: bool) -> None:
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
    "a posted row": (ASKED.replace(".get(", ".post("), "", "pytest", (False, True)),
}


@pytest.mark.parametrize(("sealed", "conftest", "command", "wanted"), TESTS.values(), ids=TESTS)
def test_what_tests_set_up(sealed: str, conftest: str, command: str, wanted: tuple[bool, bool]) -> None:
    others = {"tests/conftest.py": conftest, "tests/test_other.py": "import mock\n"}
    setup = TestSetup({"tests/test_a.py": sealed}, others, command=command)
    assert (setup.has_doubles("tests/test_a.py"), setup.is_set_up("tests/test_a.py")) == wanted
