"""Status of a sandbox, as bwrap writes it: whether the command was started.

Called by the bubblewrap backend. It must not know what the command is. Source: bwrap(1), `--json-status-fd`.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self


class SandboxStatus:
    """File in memory that bwrap writes to, open within the context."""

    def __init__(self) -> None:
        """Open it."""
        self.descriptor = os.memfd_create("phasegate-status")

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        os.close(self.descriptor)

    @property
    def arguments(self) -> list[str]:
        """Arguments of bwrap."""
        return ["--json-status-fd", str(self.descriptor)]

    @property
    def has_started(self) -> bool:
        """True if all was set up and the command ran to its end."""
        return b"exit-code" in os.pread(self.descriptor, 4096, 0)
