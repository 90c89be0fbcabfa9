"""Every scenario of issue 5 on target `kubernetes`, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.acceptance.scenarios.shell import QuickMachine
from tests.acceptance.scenarios.shops import KubernetesShop
from tests.acceptance.scenarios.stage import Stage
from tests.acceptance.scenarios.table import Scenario, on
from tests.kubernetes import KubernetesServer
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.timeout(300)  # an engine and a control plane start in the first of them


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, prometheus: PrometheusServer, kubernetes: KubernetesServer
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("kubernetes")
    machine = QuickMachine(folder / "home", {"COLUMNS": "200", "KUBECONFIG": str(kubernetes.kubeconfig)})
    yield Stage(machine, lambda _: KubernetesShop(kubernetes), prometheus, folder, interval=timedelta(milliseconds=200))
    machine.phasegate("down")
    machine.shell.close()


@pytest.mark.parametrize("scenario", on("kubernetes"), ids=lambda scenario: scenario.name)
def test_it_ends_as_designed(stage: Stage, scenario: Scenario) -> None:
    stage.require(scenario)
