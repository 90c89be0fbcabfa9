"""Configuration of every test: a home of its own, a git identity, and no model keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.kubernetes import KubernetesServer
from tests.kubernetes_extensions import Controllers, install
from tests.postgres import PostgresServer


def pytest_configure(config: pytest.Config) -> None:
    """Move HOME and all that hangs on it away before any test module, Prefect or git reads it."""
    home = Path(tempfile.mkdtemp(prefix="phasegate-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith(("GIT_", "PHASEGATE_", "PREFECT_", "XDG_"))]:
        del os.environ[name]
    for name in ("COLUMNS", "LINES", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "GH_TOKEN"):
        os.environ.pop(name, None)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test Person\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    os.environ.update(
        HOME=str(home),
        GIT_CONFIG_GLOBAL=str(home / ".gitconfig"),
        GIT_CONFIG_NOSYSTEM="1",
        PREFECT_HOME=str(home / ".prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        XDG_STATE_HOME=str(home / ".local" / "state"),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where NO_SKIPS is set, as `.ci/run` does."""
    report = yield
    if report.skipped and "NO_SKIPS" in os.environ and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and NO_SKIPS is set: {report.longreprtext or report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have to tell (`record_property`), whichever process they ran in."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, value in report.user_properties:
                    terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout these tests belong to."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres that runs for as long as the tests do; fails, and says what to install, where there is none."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The address of an empty database on Postgres."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[KubernetesServer]:
    """A Kubernetes API server that is there as long as the tests are, and sleeps."""
    server = KubernetesServer()
    try:
        server.start()
        server.kubelet.start()
        server.sleep()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def kubernetes(control_plane: KubernetesServer) -> Iterator[KubernetesServer]:
    """A Kubernetes API server; where there is none, its tests are skipped loudly."""
    control_plane.wake()
    yield control_plane
    control_plane.sleep()


@pytest.fixture(scope="module")
def extended(kubernetes: KubernetesServer) -> Iterator[KubernetesServer]:
    """The same, which serves HTTPRoutes and Argo's Rollouts, with a gateway and Argo's controller at work."""
    install(kubernetes)
    controllers = Controllers(kubernetes)
    controllers.start()
    yield kubernetes
    controllers.stop()
