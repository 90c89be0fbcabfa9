"""Has released services kept running where a keeper was killed together with them, or the machine was started anew.

One of the engine's background services. A keeper sees to its service with or without an engine; this sees to keepers.
"""

from __future__ import annotations

import asyncio
import logging
import os

from phasegate.flows.engine.engine import Engine
from phasegate.infra.deploy.process.reconcile import tend
from phasegate.infra.errors import PhasegateError

_PERIOD_SECONDS = 5.0

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Look after the services of this machine until cancelled."""
    while not engine.draining:
        try:
            for name in await tend(engine.settings.home, os.environ):
                _log.warning("The keeper of %s was gone: another one is there.", name)
        except PhasegateError as error:  # of one service; said each time, since each time somebody may look
            _log.warning("Not every service could be looked after: %s", error.message)
        await asyncio.sleep(_PERIOD_SECONDS)
    await asyncio.Future[None]()
