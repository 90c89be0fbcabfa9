"""Keys of the running engine, compared with this terminal's; for `run`, the decisions and `doctor`."""

from __future__ import annotations

from collections.abc import Mapping

from phasegate.agents.models.keys import KEY_VARIABLES
from phasegate.flows.engine.info import EngineInfo


def missing_keys(engine: EngineInfo, environment: Mapping[str, str]) -> list[str]:
    """The model key variables that are set here, and were not when the engine was started."""
    return [name for name in KEY_VARIABLES.values() if environment.get(name) and name not in engine.model_keys]
