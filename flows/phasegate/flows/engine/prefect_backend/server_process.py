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
from dataclasses import dataclass, field
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
from phasegate.infra.web import login_page
from phasegate.infra.web.access import WebAddress, basic_authorization
from phasegate.infra.web.login import mint_token, new_secret

LINGER = timedelta(seconds=60)
AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
_USER = "phasegate"
_SERVICE_HOST = "127.0.0.1"
_PAGES_HOST = "prefect.localhost"
"""Host name of its own, since a browser sends the cookies of a host to all of its ports. Browsers resolve it."""
_PORT_TRIES = 20
_START_SECONDS = 120.0
_TERM_SECONDS = 5.0
_BACKLOG = 2048
_CERTIFICATE_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class PrefectServer:
    """A running Prefect server.

    Attributes:
        process: Its process.
        port: Its port on loopback.
        credentials: The user and the secret that its API takes, `USER:SECRET`.
    """

    process: DetachedProcess
    port: int
    credentials: str = field(repr=False)

    @property
    def api_url(self) -> str:
        """The API's base URL."""
        return f"{service_address(self.port).origin}/api"

    @property
    def ui_url(self) -> str:
        """The user interface's address, for a browser that has logged in."""
        return pages_address(self.port).origin

    def healthy(self) -> bool:
        """True if the server answers, and to these credentials."""
        connection = HTTPConnection(_SERVICE_HOST, self.port, timeout=2)
        try:
            headers = {"Authorization": basic_authorization(self.credentials).decode()}
            connection.request("GET", "/api/admin/version", headers=headers)
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


def service_address(port: int) -> WebAddress:
    """The address for programs of the server with this port."""
    return WebAddress(_SERVICE_HOST, port)


def pages_address(port: int) -> WebAddress:
    """The address for browsers of the server with this port."""
    return WebAddress(_PAGES_HOST, port)


def start(
    settings: Settings, *, port: int = 0, credentials: str | None = None, linger: timedelta = LINGER
) -> PrefectServer:
    """Start a Prefect server on loopback; it is not yet ready to answer.

    Args:
        settings: The settings with the state folder it serves.
        port: The port to listen on; zero takes a free one.
        credentials: The credentials of the server that it replaces; None makes new ones.
        linger: The time it stays while no engine has the lock.

    Effects: its credentials in the state folder, which their owner alone can read.
    """
    credentials = credentials or f"{_USER}:{new_secret()}"
    _write_credentials(settings, credentials)
    listeners = _listen(port)
    try:
        port = listeners[0].getsockname()[1]
        command = [
            sys.executable,
            "-P",
            "-m",
            "phasegate.flows.engine.prefect_backend.server",
            "--home",
            str(settings.home),
        ]
        for listener in listeners:
            listener.set_inheritable(True)  # bound here, served there: no other process can take the port in between
            command += ["--socket", str(listener.fileno())]
        command += ["--port", str(port), "--linger", str(linger.total_seconds())]
        env = environment(settings, port, credentials, os.environ)
        process = detached.spawn(command, env=env, log=settings.prefect_log)
        return PrefectServer(process, port, credentials)
    finally:
        for listener in listeners:
            listener.close()


def adopt(settings: Settings) -> PrefectServer | None:
    """The healthy server that a dead engine left; an unhealthy one is ended."""
    previous = EngineInfo.read(settings)
    if previous is None or previous.server is None or not previous.server.alive():
        return None
    server = PrefectServer(previous.server, _port(previous), read_credentials(settings))
    if server.healthy():
        return server
    end(server.process)
    return None


def login_link(settings: Settings, engine: EngineInfo) -> str:
    """A link that logs a browser in to the user interface, once and within five minutes.

    Args:
        settings: The engine's settings.
        engine: The running engine.
    """
    token = mint_token(read_credentials(settings).partition(":")[2])
    return f"{pages_address(_port(engine)).origin}{login_page.LOGIN_PATH}#{token}"


def read_credentials(settings: Settings) -> str:
    """The credentials of the server that was started last; empty if there are none."""
    try:
        return settings.prefect_credentials.read_text()
    except OSError:
        return ""


def _write_credentials(settings: Settings, credentials: str) -> None:
    draft = settings.prefect_credentials.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "w") as file:
        file.write(credentials)
    draft.replace(settings.prefect_credentials)


def _listen(port: int) -> list[socket.socket]:
    """Listen on a port of loopback: on IPv4, and on IPv6 where the machine has it.

    A browser tries IPv6 first. Left free, the port there would be another user's to take, and the login with it.

    Raises:
        EngineUnavailable: The port is taken.
    """
    for _ in range(1 if port else _PORT_TRIES):
        ipv4 = _bound(socket.AF_INET, (_SERVICE_HOST, port))
        if ipv4 is None:
            continue
        if not has_ipv6():
            return [ipv4]
        ipv6 = _bound(socket.AF_INET6, ("::1", ipv4.getsockname()[1]))
        if ipv6 is not None:
            return [ipv4, ipv6]
        ipv4.close()
    raise EngineUnavailable(
        f"Port {port} of loopback is taken." if port else "No port is free on both 127.0.0.1 and ::1.",
        remedy="`ss -ltnp` names the processes that listen. Stop them, or `phasegate down` and `phasegate up`.",
    )


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket | None:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener


def has_ipv6() -> bool:
    """True if this machine has IPv6 on loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _port(engine: EngineInfo) -> int:
    return int(engine.ui_url.rpartition(":")[2])


def end(process: DetachedProcess) -> None:
    """End a server's process, by force when asking does not help."""
    process.signal(signal.SIGTERM)
    if not process.wait(_TERM_SECONDS):
        process.signal(signal.SIGKILL)
        process.wait(_TERM_SECONDS)


def environment(settings: Settings, port: int, credentials: str, env: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Prefect works for this state folder alone.

    Args:
        settings: The settings with the state folder.
        port: The port of the server.
        credentials: The server's credentials.
        env: The environment to start from; Prefect settings in it are the user's own and are left behind.

    Effects:
        A file with one certificate, in Prefect's folder.
    """
    ours = {
        "PREFECT_HOME": str(settings.prefect),
        "PREFECT_API_URL": f"{service_address(port).origin}/api",
        AUTH_VARIABLE: credentials,
        "PREFECT_API_SSL_CERT_FILE": str(_minimal_ca_bundle(settings.prefect)),
        "PREFECT_UI_URL": pages_address(port).origin,
        "PREFECT_UI_API_URL": f"{pages_address(port).origin}/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(settings.prefect / "ui"),  # the package's folder may be read-only
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Threads come and go, and each arena keeps what it once had.
        "MALLOC_ARENA_MAX": "2",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": pages_address(port).origin,
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
