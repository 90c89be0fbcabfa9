"""Port to a metric's source, and the reading that it gives. The adapters are in the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """Reading of a metric's source at one time.

    Attributes:
        values: Value name to number; NaN where there was nothing to count.
        samples: Name to the single figures behind the values, where a comparison wants them one by one.
    """

    values: Mapping[str, float]
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])


class MetricSource(Protocol):
    """Source of one metric's values: a probe, Prometheus, a command, a query over a log."""

    async def read(self) -> Reading:
        """Measure once.

        Raises:
            TemporaryError: Nothing could be read this time; the measurement's outcome is `error`.
        """
        ...


@dataclass(frozen=True)
class BaselineRelease:
    """The release that a candidate is compared with.

    Attributes:
        release_id: Its name; empty if there is none.
        source: The same metric of that release; `None` if it cannot be read.
        missing: Reason why not; empty if it can.
    """

    release_id: str = ""
    source: MetricSource | None = None
    missing: str = ""
