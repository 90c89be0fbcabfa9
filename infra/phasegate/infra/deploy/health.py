"""Waits until a service answers. Used by the `process` target; it knows HTTP and nothing of releases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

from phasegate.infra.deploy.target import Check

_POLL = timedelta(milliseconds=50)
_ONE_REQUEST = timedelta(seconds=5)


async def wait_until_healthy(url: str, patience: timedelta, ending: Callable[[], str | None]) -> Check:
    """Ask until a 2xx answer comes, the process ends or the time is over.

    Args:
        url: What to GET.
        patience: Time after which to stop asking.
        ending: Tells how the process ended; `None` while it runs.

    Returns:
        The check, not ok with the last thing seen when the service did not come up.
    """
    # Whoever only lists what runs imports this module, too: an HTTP client costs them as much as their own work.
    import httpx  # noqa: PLC0415 -- see above

    began = time.monotonic()
    latest = "no answer in time"
    # trust_env off: a proxy named in the environment has no business between us and our own service
    async with httpx.AsyncClient(timeout=_ONE_REQUEST.total_seconds(), trust_env=False) as client:
        while (waited := time.monotonic() - began) < patience.total_seconds():
            if ended := ending():
                return Check(name="health", ok=False, detail=f"the process {ended} after {waited:.1f} s")
            answer, ok = await _ask(client, url, remaining=patience.total_seconds() - waited)
            latest = answer or latest  # a last request cut off by the end says less than the one before it
            if ok and ending() is None:  # after its end, another process may have answered
                return Check(
                    name="health", ok=True, detail=f"GET {url} {latest} after {time.monotonic() - began:.1f} s"
                )
            await asyncio.sleep(_POLL.total_seconds())
    limit = f"{patience.total_seconds():g} s"
    return Check(name="health", ok=False, detail=f"GET {url} gave no 2xx within {limit}: {latest}")


async def _ask(client: httpx.AsyncClient, url: str, *, remaining: float) -> tuple[str, bool]:
    import httpx  # noqa: PLC0415 -- as above

    try:
        async with asyncio.timeout(remaining), client.stream("GET", url) as response:
            return f"answered {response.status_code}", response.is_success
    except TimeoutError:
        return "", False
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})", False
