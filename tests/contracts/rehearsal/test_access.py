"""P15: the rehearsal server answers its engine alone, and takes no body without end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from tests.contracts.rehearsal.conftest import RehearsalEnvironment

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_without_the_secret_finds_nothing(stage: RehearsalEnvironment) -> None:
    """Any user of the machine may ask a port of loopback. Mutation tried: no secret in the path."""
    url = urlsplit(stage.url())
    base, (secret, *rest) = f"{url.scheme}://{url.netloc}", url.path.strip("/").split("/")
    assert len(secret) >= 43
    for path in ("/".join(rest), "/".join([secret[:-1], *rest]), "/".join(["", *rest])):
        assert (await stage.http.post(f"{base}/{path}/v1/messages", json={})).status_code == 404
    assert (await stage.http.post(f"{stage.url()}/v1/messages", json={})).status_code == 400


async def test_a_body_without_end_is_refused(stage: RehearsalEnvironment) -> None:
    """W4. Mutation tried: no `BodyLimitMiddleware`."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(690):
            yield b" " * 1_000_000

    assert (await stage.http.post(f"{stage.url()}/v1/messages", content=endless(), timeout=60)).status_code == 413
