"""A real Prometheus for tests: Debian's program, on loopback, scraping whatever a test tells it to."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from phasegate.infra.system.ports import ephemeral_port

_START_SECONDS = 60.0


class PrometheusServer:
    """A Prometheus, which may be taken down and brought back."""

    def __init__(self, *, scrape_interval: str = "1s") -> None:
        """Prepare it without starting it.

        Args:
            scrape_interval: Time from one look at each target to the next, as Prometheus writes durations.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="phasegate-prometheus-"))
        self._address = f"127.0.0.1:{ephemeral_port()}"
        self.url = f"http://{self._address}"
        self._process: subprocess.Popen[bytes] | None = None
        jobs = [{"job_name": "service", "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}]}]
        config = {"global": {"scrape_interval": scrape_interval}, "scrape_configs": jobs}
        (self.folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.watch()

    def watch(self, *addresses: str) -> None:
        """Scrape these from now on, `host:port` each, and nothing else."""
        fresh = self.folder / "targets.new"
        fresh.write_text(json.dumps([{"targets": list(addresses)}]))
        fresh.rename(self.folder / "targets.json")

    def start(self) -> None:
        """Bring it up, or back, and wait until it answers; one that runs is left alone."""
        if self._process is not None:
            return
        program = shutil.which("prometheus")
        assert program, "Prometheus is missing: apt-get install prometheus"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=log,
            )
        self._until(lambda: httpx.get(f"{self.url}/-/ready", trust_env=False).is_success, "ready")

    def until_seen(self, query: str) -> None:
        """Wait until a query has a result."""

        def seen() -> bool:
            answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False)
            return bool(answer.json()["data"]["result"])

        self._until(seen, query)

    def stop(self) -> None:
        """Take it down, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Take it down and away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _until(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except (httpx.HTTPError, KeyError, ValueError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not seen: {what}\n{(self.folder / 'log').read_text()[-3000:]}")
