"""Every scenario of issue 5 on target `process`, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.acceptance.scenarios.shell import QuickMachine
from tests.acceptance.scenarios.shops import ProcessShop
from tests.acceptance.scenarios.stage import Stage
from tests.acceptance.scenarios.table import Scenario, on
from tests.prometheus import PrometheusServer

pytestmark = pytest.mark.timeout(300)  # the first of them starts an engine


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, prometheus: PrometheusServer) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("process")
    machine = QuickMachine(folder / "home", {"COLUMNS": "200"})
    yield Stage(
        machine,
        lambda top: ProcessShop(machine.home / "services", top),
        prometheus,
        folder,
        interval=timedelta(milliseconds=200),
    )
    machine.phasegate("down", "--services")
    machine.shell.close()


@pytest.mark.parametrize("scenario", on("process"), ids=lambda scenario: scenario.name)
def test_it_ends_as_designed(stage: Stage, scenario: Scenario) -> None:
    stage.require(scenario)
