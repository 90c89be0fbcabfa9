"""Acts of the outside world while a scenario is played: faults, and people who mend them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.acceptance.scenarios.shops import KubernetesShop, ProcessShop

if TYPE_CHECKING:
    from tests.acceptance.scenarios.stage import ScenarioRun

Act = Callable[["ScenarioRun"], None]
EDITOR = "kubectl-edit"
_ABSENCE_SECONDS = 1.0


def prometheus_goes_away(play: ScenarioRun) -> None:
    """Prometheus crashes once it has been asked for the first time."""
    play.until_event("stage.step", "errors")
    play.fault_at = time.time()
    play.prometheus.stop()


def edited_while_the_plan_waits(play: ScenarioRun) -> None:
    """A person scales the live Deployment, and another one approves the plan that was drafted before."""
    play.until_waiting("release", 1)
    on_kubernetes(play).scale(4, by=EDITOR)
    approved = play.phasegate("approve", play.run)
    assert approved.code == 0, approved.err
    play.until_waiting("release", 2)


def api_server_restarts(play: ScenarioRun) -> None:
    """The API server is gone as soon as the cut-over is intended, and comes back."""
    server = on_kubernetes(play).server
    play.until_event("effect.intended", "/cut-over")
    server.stop_api()
    time.sleep(_ABSENCE_SECONDS)  # how long it is away: nothing is waited for
    server.start_api()
    gc.collect()  # nothing else closes the broken connections


def way_back_is_broken(play: ScenarioRun) -> None:
    """Break the way back to the earlier release while the new one is watched."""
    play.until_event("effect.done", "/cut-over")
    match play.shop:
        case KubernetesShop() as shop:
            shop.scale(4, by=EDITOR)
        case ProcessShop():
            program = play.served_before / "service.py"
            program.rename(program.with_suffix(".gone"))


def way_back_is_mended(play: ScenarioRun) -> None:
    """It is put back."""
    match play.shop:
        case KubernetesShop() as shop:
            shop.scale(3, by=EDITOR)
        case ProcessShop():
            program = play.served_before / "service.py"
            program.with_suffix(".gone").rename(program)


def on_kubernetes(play: ScenarioRun) -> KubernetesShop:
    """The play's shop, where the scenario is one for Kubernetes alone."""
    assert isinstance(play.shop, KubernetesShop)
    return play.shop
