"""Starting the engine with what it runs beside the flows. For `up`, for what starts it on demand, and for the demo."""

from __future__ import annotations

from collections.abc import Callable

from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.settings import Settings

_SERVICES = ("phasegate.flows.reconciler:serve",)


def start_engine(settings: Settings, on_progress: Callable[[str], None]) -> EngineInfo:
    """Make sure that an engine serves.

    Raises:
        EngineUnavailable: It did not come up.
    """
    return control.start(settings, on_progress=on_progress, services=_SERVICES)
