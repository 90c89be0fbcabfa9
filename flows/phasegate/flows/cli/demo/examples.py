"""The sample service, its tickets and their rehearsal scripts: where they are installed."""

from __future__ import annotations

from pathlib import Path

import phasegate.flows
from phasegate.infra.errors import ConfigError

SERVICE = "shortlinks"


def find_examples() -> Path:
    """The examples' folder: inside an installed package, or at the top of a checkout.

    Raises:
        ConfigError: It is in neither place.
    """
    package = Path(next(iter(phasegate.flows.__path__)))
    for folder in (package / "demo_data", package.parents[2] / "examples"):
        if (folder / SERVICE).is_dir():
            return folder
    raise ConfigError("the examples are not installed with phasegate", remedy="Install phasegate anew.")
