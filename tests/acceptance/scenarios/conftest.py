"""Fixtures that the scenarios share besides their stage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.prometheus import PrometheusServer

INTERVAL = timedelta(milliseconds=200)
"""Of every metric: what is tested is how a run ends, and not how long it takes."""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus that looks often."""
    server = PrometheusServer(scrape_interval="100ms")
    try:
        server.start()
        yield server
    finally:
        server.remove()
