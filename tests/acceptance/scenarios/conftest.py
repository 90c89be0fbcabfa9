"""What the scenarios share besides their stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.prometheus import PrometheusServer


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus that looks often."""
    server = PrometheusServer(scrape_interval="100ms")
    try:
        server.start()
        yield server
    finally:
        server.remove()
