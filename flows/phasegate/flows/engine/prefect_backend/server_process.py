"""Process of the Prefect server: start it, adopt the one that a dead engine left, end it.

Called by the daemon, and by `control` to clean up. Imports nothing heavy: the server starts while the engine still
imports. Prefect reads its environment at import, so the settings made here must come first.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import certifi

from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.errors import EngineUnavailable
from phasegate.infra.settings import Settings
from phasegate.infra.system import detached
from phasegate.infra.system.detached import DetachedProcess

LINGER = timedelta(seconds=60)
_START_SECONDS = 120.0
_TERM_SECONDS = 5.0
_CERTIFICATE_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class PrefectServer:
    """A running Prefect server.

    Attributes:
        process: Its process.
        ui_url: Its address, which is also the user interface's.
    """

    process: DetachedProcess
    ui_url: str

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self.ui_url.rpartition(":")[2])

    @property
    def api_url(self) -> str:
        """The API's base URL."""
        return f"{self.ui_url}/api"

    def healthy(self) -> bool:
        """True if the server answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_healthy(self) -> None:
        """Wait until it answers.

        Raises:
            EngineUnavailable: It died, or did not answer in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.healthy():
            if not self.process.alive():
                raise EngineUnavailable("The Prefect server died while it was starting.", remedy="See its log.")
            if time.monotonic() > deadline:
                raise EngineUnavailable(
                    f"The Prefect server did not answer within {_START_SECONDS:.0f} s.", remedy="See its log."
                )
            time.sleep(0.05)


def start(settings: Settings, *, port: int = 0, linger: timedelta = LINGER) -> PrefectServer:
    """Start a Prefect server on loopback; it is not yet ready to answer.

    Args:
        settings: The settings with the state folder it serves.
        port: The port to listen on; zero takes a free one.
        linger: The time it stays while no engine has the lock.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.set_inheritable(True)  # bound here and served there: no other process can take the port in between
        ui_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [
            sys.executable,
            "-P",
            "-m",
            "phasegate.flows.engine.prefect_backend.server",
            "--home",
            str(settings.home),
        ]
        command += ["--socket", str(listener.fileno()), "--linger", str(linger.total_seconds())]
        env = environment(settings, f"{ui_url}/api", os.environ)
        return PrefectServer(detached.spawn(command, env=env, log=settings.prefect_log), ui_url)


def adopt(settings: Settings) -> PrefectServer | None:
    """The healthy server that a dead engine left; an unhealthy one is ended."""
    previous = EngineInfo.read(settings)
    if previous is None or previous.server is None or not previous.server.alive():
        return None
    server = PrefectServer(previous.server, previous.ui_url)
    if server.healthy():
        return server
    end(server.process)
    return None


def end(process: DetachedProcess) -> None:
    """End a server's process, by force when asking does not help."""
    process.signal(signal.SIGTERM)
    if not process.wait(_TERM_SECONDS):
        process.signal(signal.SIGKILL)
        process.wait(_TERM_SECONDS)


def environment(settings: Settings, api_url: str, env: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Prefect works for this state folder alone.

    Args:
        settings: The settings with the state folder.
        api_url: Where the server is, or will be.
        env: The environment to start from; Prefect settings in it are the user's own and are left behind.

    Effects:
        A file with one certificate, in Prefect's folder.
    """
    ours = {
        "PREFECT_HOME": str(settings.prefect),
        "PREFECT_API_URL": api_url,
        "PREFECT_API_SSL_CERT_FILE": str(_minimal_ca_bundle(settings.prefect)),
        "PREFECT_UI_API_URL": api_url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(settings.prefect / "ui"),  # the package's folder may be read-only
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Threads come and go, and each arena keeps what it once had.
        "MALLOC_ARENA_MAX": "2",
        # A page in the user's browser has no business with a loopback API.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": api_url.removesuffix("/api"),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # No block is stored, and the catalogue costs a second of every first start.
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        # These two change the state of runs that only wait for a person or for a place.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    }
    return {name: value for name, value in env.items() if not name.startswith("PREFECT_")} | ours


def _minimal_ca_bundle(folder: Path) -> Path:
    """Write a CA bundle with one certificate authority in place of all that are known.

    Prefect reads the bundle for each of its clients, several times a run and 30 ms each. Loopback needs no authority.
    """
    file = folder / "authority.pem"
    if not file.exists():
        bundle = Path(certifi.where()).read_text()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(bundle[: bundle.index(_CERTIFICATE_END) + len(_CERTIFICATE_END)] + "\n")
        draft.replace(file)
    return file
