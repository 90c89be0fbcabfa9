"""Starting the engine and stopping it. For `up`, `down`, `run` and the demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from phasegate.agents.models.keys import KEY_VARIABLES
from phasegate.flows.engine import control
from phasegate.flows.engine.info import EngineInfo
from phasegate.infra.settings import Settings


def start_engine(settings: Settings, on_progress: Callable[[str], None]) -> EngineInfo:
    """Make sure that an engine serves.

    Raises:
        EngineUnavailable: It did not come up.
    """
    return control.start(settings, on_progress=on_progress)


def stop_engine(settings: Settings) -> bool:
    """Stop the engine; false when none was up.

    Raises:
        EngineUnavailable: It does not end.
    """
    return control.stop(settings)


def keys_it_lacks(engine: EngineInfo, environment: Mapping[str, str]) -> list[str]:
    """The model key variables that are set here, and were not when the engine was started."""
    return [name for name in KEY_VARIABLES.values() if environment.get(name) and name not in engine.model_keys]
