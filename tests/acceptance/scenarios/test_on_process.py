"""Every scenario on target `process`, end to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.scenarios.conftest import INTERVAL
from tests.acceptance.scenarios.stage import ScenarioRunner
from tests.acceptance.scenarios.stages import opened
from tests.acceptance.scenarios.table import Scenario, on
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.timeout(900)  # the first of them starts an engine


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, prometheus: PrometheusServer) -> Iterator[ScenarioRunner]:
    with opened(tmp_path_factory.mktemp("process"), prometheus, interval=INTERVAL) as stage:
        yield stage


MEASURED_ALIKE = {
    "latency regression without errors",
    "no traffic, and the person says yes",
    "not a number",
    "flapping metric, within the limit",
    "flapping metric, beyond the limit",
}
"""Scenarios whose way is another's, and whose verdict is a row of tests/unit/metrics: played by `make proof`."""


@pytest.mark.parametrize("scenario", on("process", in_proof=MEASURED_ALIKE))
def test_it_ends_as_designed(stage: ScenarioRunner, scenario: Scenario) -> None:
    stage.require(scenario)
