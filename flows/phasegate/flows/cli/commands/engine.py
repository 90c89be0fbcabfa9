"""`phasegate up|down`: the engine of this machine."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, Never

import click

from phasegate.flows.cli.options import example, json_option

if TYPE_CHECKING:
    from phasegate.infra.settings import Settings

_LOOK_SECONDS = 0.5


@click.command(epilog=example("phasegate up --detach"))
@click.option("--detach", is_flag=True, help="Return when the engine serves; it goes on in the background.")
@json_option
def up(detach: bool, as_json: bool) -> None:
    """Start the engine.

    A Prefect server on loopback and the worker that carries runs. It continues every run the ledger knows to be
    unfinished. Without --detach it stays in the foreground, and Ctrl-C stops it; an engine that is up already is left
    as it is.
    """
    from phasegate.flows.cli.output import document, say
    from phasegate.flows.cli.session import opened
    from phasegate.flows.engine import control
    from phasegate.infra.settings import Settings

    settings = Settings.from_environment(os.environ)
    with opened():
        pass  # an engine whose ledger cannot be opened would only say so in its log
    already = control.status(settings) is not None
    info = control.start(
        settings,
        on_progress=lambda text: say(f"  {text}", as_json=as_json),
        stop_on_interrupt=not detach,
    )
    if as_json:
        document(
            {
                "already": already,
                "pid": info.process.pid,
                "ui_url": info.ui_url,
                "login_url": control.login_link(settings, info),
                "log": str(settings.engine_log),
            }
        )
    else:
        say(f"The engine {'was up already' if already else 'is up'}. Prefect shows it on")
        say(f"  {control.login_link(settings, info)}")
        say("  (the link works once, in the next five minutes; the browser then stays logged in for twelve hours)")
        say(f"Its log is {settings.engine_log}")
    if already or detach:
        return
    say("Ctrl-C stops it.", as_json=as_json)
    _stay(settings)
    say("The engine is stopped.", as_json=as_json)


@click.command(epilog=example("phasegate down --services"))
@click.option("--services", "with_services", is_flag=True, help="Stop the released services too.")
@json_option
def down(with_services: bool, as_json: bool) -> None:
    """Stop the engine. Runs keep their place and continue at the next `phasegate up`.

    Released services keep running unless --services is given.
    """
    import asyncio

    from phasegate.flows.cli.output import document, say
    from phasegate.flows.engine import control
    from phasegate.infra.deploy.process.services import services, stop_service
    from phasegate.infra.settings import Settings

    settings = Settings.from_environment(os.environ)
    stopped = control.stop(settings)
    running = [state.service for state in services(settings.home) if state.current and state.current.alive]
    if with_services:
        for state in services(settings.home):  # a candidate may run where no release serves
            asyncio.run(stop_service(settings.home, state.service))
    if as_json:
        document({"engine_stopped": stopped, "services": running, "services_stopped": with_services})
        return
    say("The engine is stopped." if stopped else "No engine was up.")
    for name in running:
        say(f"Service {name} {'is stopped' if with_services else 'keeps running'}.")
    if running and not with_services:
        say(f"Stop {'it' if len(running) == 1 else 'them'} with `phasegate down --services`.")


def _stay(settings: Settings) -> None:
    """Wait until the engine ends; Ctrl-C and SIGTERM end it."""
    from phasegate.flows.engine import control
    from phasegate.flows.engine.info import engine_alive
    from phasegate.infra.errors import EngineUnavailable

    def interrupt(_number: int, _frame: FrameType | None) -> Never:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        while engine_alive(settings):
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        control.stop(settings)
        return
    if control.stop(settings):  # it left a Prefect server behind
        raise EngineUnavailable("The engine has died.", remedy=f"Read {settings.engine_log}, then `phasegate up`.")
