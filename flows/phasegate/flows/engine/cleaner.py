"""Cleaning service: removes what ended runs leave behind, at the engine's start and every hour.

One of the engine's background services. It also removes files that a run could not remove at its end because of a
crash.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta

from phasegate.flows.engine.engine import Engine
from phasegate.flows.runs.cleaning import Removed, clean
from phasegate.infra.errors import PhasegateError
from phasegate.infra.ledger import Ledger
from phasegate.infra.secrets import Secrets
from phasegate.infra.settings import Settings

_PERIOD = timedelta(hours=1)

_log = logging.getLogger(__name__)


async def serve(engine: Engine) -> None:
    """Clean until cancelled."""
    while not engine.draining:
        try:
            for removed in await asyncio.to_thread(_clean, engine.settings):
                _log.info("Removed %s of %s, %d bytes.", removed.kind, removed.name, removed.bytes)
        except PhasegateError as error:
            _log.warning("Nothing could be cleared away: %s", error.message)
        await asyncio.sleep(_PERIOD.total_seconds())
    await asyncio.Future[None]()


def _clean(settings: Settings) -> list[Removed]:
    ledger = Ledger.open(settings.database_url)
    try:
        return list(clean(settings, ledger, Secrets.of(os.environ)))
    finally:
        ledger.close()
