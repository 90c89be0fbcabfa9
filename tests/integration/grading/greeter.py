"""A small service, and the check of a change to it as it is served."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.cheats.ground import QUICK, TEST, Criterion, Ground, Row

from phasegate.infra.grading.evidence import Evidence
from phasegate.infra.grading.grade import grade
from phasegate.infra.grading.runner.runner import Bench
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.served.served_check import Served, check_served
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.policy.deploy import DeployPolicy
from phasegate.infra.policy.model import LifecyclePolicy, Policy, ProjectPolicy, SandboxPolicy
from phasegate.infra.sandbox import open_sandbox

PAGES = """\
def page(path, names):
    if path == "/hello":
        return 200, "Hello " + names.get("name", "you")
    if path == "/healthz":
        return 200, "fine"
    return 404, "nothing here"
"""
HEALTH = '    if path == "/healthz"'
DONE = PAGES.replace(HEALTH, f'    if path == "/shout":\n        return 200, shout(names)\n{HEALTH}')
SHOUT = '\n\ndef shout(names):\n    return "HELLO " + names.get("name", "you").upper()\n'
SERVER = """\
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pages


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        status, text = pages.page(parts.path, dict(parse_qsl(parts.query)))
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
CONFTEST = """\
import http.client
import http.server
import threading

import pytest
import server


@pytest.fixture
def get():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), server.Handler) as own:
        thread = threading.Thread(target=own.serve_forever)
        thread.start()

        def get(path):
            connection = http.client.HTTPConnection("127.0.0.1", own.server_port, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        yield get
        own.shutdown()
        thread.join()
"""
FILES = {
    "pages.py": PAGES,
    "server.py": SERVER,
    "tests/conftest.py": CONFTEST,
    "tests/test_hello.py": 'def test_hello(get):\n    assert get("/hello?name=Ann") == (200, "Hello Ann")\n',
    "pyproject.toml": '[project]\nname = "greeter"\nversion = "1"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
}
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_shout.py",
            content='def test_ac1_shout(get):\n    assert get("/shout?name=Ann") == (200, "HELLO ANN")\n',
            criteria=("AC1",),
        ),
    )
)
START = "python3 server.py {port}"


def served(
    ground: Ground,
    row: Row,
    *,
    start: str = START,
    test: str = TEST,
    own: str = "tests/test_hello.py",
    backend: str = "bubblewrap",
    seconds: float = 0,
) -> Served:
    """The check of a row's change, without the rest of its grade."""
    change = ground.change(row)
    policy = Policy(
        project=ProjectPolicy(test=test, test_timeout=timedelta(seconds=30)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        deploy=DeployPolicy(start=start, health="/healthz"),
        sandbox=SandboxPolicy.model_validate({"backend": backend}),
    )
    scratch = ground.state / "served" / f"scratch{ground.number}"
    bench = Bench(ground.repository, policy, open_sandbox(policy.sandbox, ground.state), scratch, lambda step: None)
    graded = graded_tree(ground.repository, change, policy)
    told = asyncio.run(check_served(bench, change.base_commit, graded, row.sealed, [own], seconds))
    assert told is not None
    return told


def sealed_file(path: str, content: str) -> SealedTests:
    """A sealed file for a criterion."""
    return SealedTests(files=(SealedFile(path=path, content=content, criteria=("AC1",)),))


def graded(ground: Ground, row: Row) -> Evidence:
    """The grade of a row's change, with the check of its service."""
    change = ground.change(row)
    policy = Policy(
        project=ProjectPolicy(test=TEST, test_timeout=timedelta(seconds=30)),
        lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")),
        grading=QUICK.model_copy(update={"served": True}),
        deploy=DeployPolicy(start=START, health="/healthz"),
    )
    return asyncio.run(
        grade(
            repository=ground.repository,
            change=change,
            sealed=row.sealed,
            criteria=[Criterion("AC1", "/shout says hello in capitals")],
            policy=policy,
            sandbox=open_sandbox(policy.sandbox, ground.state),
            scratch=ground.state / "grading" / f"scratch{ground.number}",
            on_step=lambda step: None,
        )
    )
