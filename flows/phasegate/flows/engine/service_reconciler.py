"""Restarts supervisors that were killed together with their services, as when the machine was restarted.

One of the engine's background services. A supervisor keeps its service running with or without an engine.
"""

from __future__ import annotations

import asyncio
import logging
import os

from phasegate.flows.engine.engine import Engine
from phasegate.infra.deploy.process.reconcile import reconcile_services
from phasegate.infra.errors import PhasegateError

_PERIOD_SECONDS = 5.0

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Reconcile the services of this machine until cancelled."""
    while not engine.draining:
        try:
            for name in await reconcile_services(engine.settings.home, os.environ):
                _log.warning("The supervisor of %s was gone: another one is there.", name)
        except PhasegateError as error:  # of one service; logged each time, for a person who reads the log only now
            _log.warning("Not every service could be looked after: %s", error.message)
        await asyncio.sleep(_PERIOD_SECONDS)
    await asyncio.Future[None]()
