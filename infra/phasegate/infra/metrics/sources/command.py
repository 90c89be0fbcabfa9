"""The metric source `command`: the numbers that a command of the team's own prints.

It runs on the engine's side, beside the release and like it, with the files of the commit the run began at. It must
not know conditions or verdicts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
from typing import Any

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.errors import DocumentUnreadable, TemporaryError
from phasegate.infra.metrics.sources.measured_release import MeasuredRelease
from phasegate.infra.metrics.sources.port import Reading
from phasegate.infra.policy.monitor import MetricPolicy

_HANDED_ON = ("PATH", "HOME", "LANG")
_BOUNDS = DocumentBounds(size=1_000_000, values=100_000)
_CHUNK = 65_536
_SAID = 300
"""Characters of a command's complaint that are passed on."""


class Command:
    """Runs one command per measurement; satisfies `MetricSource`."""

    def __init__(self, metric: MetricPolicy, released: MeasuredRelease) -> None:
        """Prepare the command; nothing runs yet."""
        self._metric = metric
        self._released = released
        own = {
            "PHASEGATE_URL": released.url,
            "PHASEGATE_RELEASE_ID": released.release_id,
            "PHASEGATE_COMMIT": released.commit,
        }
        self._environment = {name: released.environment.get(name, "") for name in _HANDED_ON} | own

    async def read(self) -> Reading:
        """Run it once.

        Returns:
            The numbers that policy names; NaN for null.

        Raises:
            TemporaryError: It failed, took too long, or did not print those numbers.
        """
        metric = self._metric
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            metric.command,
            cwd=await self._released.files(),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(metric.request_timeout.total_seconds()):
                printed, complaint = await asyncio.gather(_beginning(process.stdout), _beginning(process.stderr))
                await process.wait()
        except TimeoutError as error:
            raise TemporaryError(f"the command took longer than {metric.request_timeout}") from error
        finally:
            with contextlib.suppress(ProcessLookupError):  # and whatever it left behind
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode:
            error_text = self._released.secrets.mask(complaint.decode(errors="replace").strip()).text[-_SAID:]
            raise TemporaryError(f"the command ended with {process.returncode}: {error_text or 'it said nothing'}")
        return Reading(self._numbers(printed))

    def _numbers(self, printed: bytes) -> dict[str, float]:
        try:
            document = read_json_table(printed, "the command's output", _BOUNDS, constants=True)
        except DocumentUnreadable as error:
            raise TemporaryError(f"the command printed no JSON object: {error.reason}") from error
        return {name: _number(name, document) for name in self._metric.values}


async def _beginning(stream: asyncio.StreamReader | None) -> bytes:
    """A stream's bytes, one more than is read at most; the rest is thrown away as it comes."""
    content = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        content += chunk[: _BOUNDS.size + 1 - len(content)]
    return bytes(content)


def _number(name: str, document: dict[str, Any]) -> float:
    value = document.get(name, document)  # the object itself is no number either
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TemporaryError(f"the command printed no number {name!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise TemporaryError(f"the command printed a number {name!r} that is too large") from error
