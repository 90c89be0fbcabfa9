"""A private package index: setup has its credentials, and nothing else does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.support.upstream import RecordingDialer

from phasegate.infra.policy.model import LifecyclePolicy, Policy, ProjectPolicy, SandboxPolicy
from phasegate.infra.sandbox import Sandbox, open_sandbox, run_setup
from phasegate.infra.sandbox.bubblewrap import Bubblewrap

PASSWORD = "s3cr-t/of:the_index"
LOGIN = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
FETCH = """\
import os, urllib.request
from base64 import b64encode
login = b64encode(f"reader:{os.environ['INDEX_PASSWORD']}".encode()).decode()
request = urllib.request.Request(os.environ["INDEX_URL"], headers={"Authorization": f"Basic {login}"})
open("package.py", "wb").write(urllib.request.urlopen(request).read())
"""


class Index(BaseHTTPRequestHandler):
    """Gives its one package to every client that has the password."""

    def do_GET(self) -> None:
        """Answer."""
        known = self.headers["Authorization"] == LOGIN
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(b"ANSWER = 42\n" if known else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(params=["bubblewrap", "none"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def policy_of(
    setup: str, backend: str, names: tuple[str, ...] = ("INDEX_URL", "INDEX_PASSWORD"), hosts: tuple[str, ...] = ()
) -> Policy:
    return Policy.model_validate(
        {
            "project": ProjectPolicy(setup=setup, setup_environment=names),
            "sandbox": SandboxPolicy.model_validate({"backend": backend, "setup_network": True, "network": hosts}),
            "lifecycle": LifecyclePolicy(stages=("prd",)),
        }
    )


def opened(policy: Policy, state: Path, dialer: RecordingDialer | None = None) -> tuple[Sandbox, Path]:
    folder = state / "work"
    folder.mkdir(parents=True)
    sandbox = open_sandbox(policy.sandbox, state)
    return replace(sandbox, dialer=dialer) if dialer and isinstance(sandbox, Bubblewrap) else sandbox, folder


@pytest.mark.parametrize("hosts", [("index.example.org:{port}",), ("index.example.org",), ()])
async def test_setup_reaches_an_index_in_a_private_network_if_policy_names_its_port(
    hosts: tuple[str, ...], port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutations tried: `sandbox.network` not handed to the proxy; what it refused left out of the output."""
    monkeypatch.setenv("INDEX_URL", f"http://index.example.org:{port}/package.py")
    monkeypatch.setenv("INDEX_PASSWORD", PASSWORD)
    named = tuple(host.format(port=port) for host in hosts)
    policy = policy_of(f"cat <<'END' > fetch.py\n{FETCH}END\npython3 fetch.py", "bubblewrap", hosts=named)
    sandbox, folder = opened(policy, tmp_path / "state", RecordingDialer(port, {"index.example.org": ["10.7.7.7"]}))
    done = await run_setup(sandbox, policy, folder)
    if ":" in "".join(hosts):
        assert (done.exit_code, done.output) == (0, "")
    else:
        assert done.exit_code != 0
        assert "index.example.org leads to 10.7.7.7, which is no public address" in done.output
        assert done.output.endswith("A host with a private address needs `HOST:PORT` in sandbox.network.")


async def test_setup_reaches_the_index_and_a_later_command_does_not_see_the_credentials(
    port: int, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation tried: the variables are added to `sandbox.environment`."""
    host = "127.0.0.1" if backend == "none" else "index.example.org"
    monkeypatch.setenv("INDEX_URL", f"http://{host}:{port}/package.py")
    monkeypatch.setenv("INDEX_PASSWORD", PASSWORD)
    policy = policy_of(f"cat <<'END' > fetch.py\n{FETCH}END\npython3 fetch.py", backend)
    sandbox, folder = opened(policy, tmp_path / "state", RecordingDialer(port))
    done = await run_setup(sandbox, policy, folder)
    assert (done.exit_code, done.output) == (0, "")
    later = await sandbox.run("cat package.py; env", folder=folder, timeout=timedelta(minutes=1))
    assert later.output.startswith("ANSWER = 42\n")
    assert "INDEX" not in later.output


@dataclass(frozen=True)
class Case:
    why: str
    value: str
    setup: str
    exit_code: int
    said: str


CASES = [
    Case("a password is masked", PASSWORD, "echo using $INDEX_PASSWORD", 0, "using [masked: INDEX_PASSWORD]\n"),
    Case(
        "so is the login of an address",
        f"https://reader:{PASSWORD.replace('/', '%2F')}@index.example.org/simple",
        f"echo using '{PASSWORD}'; exit 3",
        3,
        "using [masked: the login in INDEX_PASSWORD, decoded]\n",
    ),
    Case(
        "a file with it is refused",
        PASSWORD,
        "mkdir -p a/b; echo token=$INDEX_PASSWORD > a/b/.npmrc",
        1,
        "It left INDEX_PASSWORD in a/b/.npmrc, where tests and agents would read it.",
    ),
    Case("a file with the variable's name is fine", PASSWORD, "echo 'token=${INDEX_PASSWORD}' > .npmrc", 0, ""),
    Case(
        "an address without a login is no secret",
        "https://index.example.org/simple",
        "echo $INDEX_PASSWORD | tee u",
        0,
        "https://index.example.org/simple\n",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
async def test_credentials_do_not_stay(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_PASSWORD", case.value)
    policy = policy_of(case.setup, "bubblewrap")
    sandbox, folder = opened(policy, tmp_path / "state")
    done = await run_setup(sandbox, policy, folder)
    assert (done.exit_code, done.output) == (case.exit_code, case.said)
