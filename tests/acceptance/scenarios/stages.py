"""A stage for each target, with an engine of its own; for the tests and for the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from tests.acceptance.scenarios.shops import KubernetesShop, ProcessShop
from tests.acceptance.scenarios.stage import ScenarioRunner
from tests.kubernetes import KubernetesServer
from tests.prometheus import PrometheusServer
from tests.quick_machine import quick_machine


@contextmanager
def opened(
    folder: Path, prometheus: PrometheusServer, cluster: KubernetesServer | None = None, *, interval: timedelta
) -> Iterator[ScenarioRunner]:
    """A stage below a folder; its engine is started by the first scenario, and is gone afterwards.

    Args:
        folder: The folder for all that is written.
        prometheus: It measures.
        cluster: The cluster that releases go to; None if they are processes.
        interval: Of every metric.
    """
    with ExitStack() as ends:
        machine = ends.enter_context(quick_machine(folder / "home", {"COLUMNS": "200"}))
        if cluster is None:
            stage = ScenarioRunner(
                machine,
                lambda top: ProcessShop(machine.home / "services", top),
                prometheus,
                folder,
                interval=interval,
            )
        else:
            machine.environment["KUBECONFIG"] = str(cluster.kubeconfig)
            stage = ScenarioRunner(machine, lambda _: KubernetesShop(cluster), prometheus, folder, interval=interval)
        ends.callback(stage.close)
        yield stage
