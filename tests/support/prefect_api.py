"""Prefect's API as the engine's own client asks it: with the secret of the state folder."""

from __future__ import annotations

from typing import Any

import httpx

from phasegate.flows.engine.info import EngineInfo
from phasegate.flows.engine.prefect_backend import server_process
from phasegate.infra.settings import Settings
from phasegate.infra.web.access import basic_authorization


def ask_prefect(settings: Settings, path: str, content: Any = None, *, method: str = "") -> httpx.Response:
    """Ask the API of the engine that serves a state folder.

    Args:
        settings: The engine's settings.
        path: The path below the API's base.
        content: The body, as JSON; None sends none.
        method: The method; without one, POST where there is a body, and GET otherwise.
    """
    info = EngineInfo.read(settings)
    assert info is not None
    authorization = basic_authorization(server_process.read_credentials(settings)).decode()
    return httpx.request(
        method or ("GET" if content is None else "POST"),
        f"{info.api_url}{path}",
        json=content,
        headers={"Authorization": authorization},
        timeout=20,
        trust_env=False,
    )
