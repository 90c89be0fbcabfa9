"""Every scenario on target `kubernetes`, end to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.scenarios.conftest import INTERVAL
from tests.acceptance.scenarios.stage import ScenarioRunner
from tests.acceptance.scenarios.stages import opened
from tests.acceptance.scenarios.table import Scenario, on
from tests.kubernetes import KubernetesServer
from tests.prometheus import PrometheusServer

pytestmark = [
    pytest.mark.timeout(900),  # an engine and a control plane start in the first of them
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),  # of an API server that was killed
]


MEASURED_ALIKE = {
    "latency regression without errors",
    "metric source down",
    "no traffic, and the person says no",
    "no traffic, and the person says yes",
    "not a number",
    "flapping metric, within the limit",
    "flapping metric, beyond the limit",
    "slow start past the deadline",
    "5 % errors",
}
"""Scenarios that the target has no part in, or that go the way of another one: played here by `make proof`."""


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, prometheus: PrometheusServer, kubernetes: KubernetesServer
) -> Iterator[ScenarioRunner]:
    with opened(tmp_path_factory.mktemp("kubernetes"), prometheus, kubernetes, interval=INTERVAL) as stage:
        yield stage


@pytest.mark.parametrize("scenario", on("kubernetes", in_proof=MEASURED_ALIKE))
def test_it_ends_as_designed(stage: ScenarioRunner, scenario: Scenario) -> None:
    stage.require(scenario)
