"""A release as its sources see it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.secrets import Secrets

MakeReleased = Callable[..., MeasuredRelease]


@pytest.fixture
def released(tmp_path: Path) -> MakeReleased:
    """Makes a release with this log, and these variables in the engine's environment."""

    async def files() -> Path:
        return tmp_path

    def make(log: str = "", **environment: str) -> MeasuredRelease:
        known = {**os.environ, **environment}

        async def written() -> str:
            return log

        return MeasuredRelease("rel-1", "c" * 40, "http://127.0.0.1:1", written, files, known, Secrets.of(known))

    return make
