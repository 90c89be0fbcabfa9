"""What one look at a metric's source gives, and the port to sources. The adapters are beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """What was read at one time.

    Attributes:
        values: Value name to number; NaN where there was nothing to count.
        samples: Name to the single figures behind the values, where a comparison wants them one by one.
    """

    values: Mapping[str, float]
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])


class MetricSource(Protocol):
    """Where one metric's values come from: a probe, Prometheus, a command, a query over a log."""

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
        release_id: Its name; empty where there is none.
        source: The same metric of that release; None where it cannot be read.
        missing: Why not; empty where it can.
    """

    release_id: str = ""
    source: MetricSource | None = None
    missing: str = ""
