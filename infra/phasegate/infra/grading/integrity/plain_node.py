"""Start of the plain process for JavaScript and TypeScript tests, and of its watched twin.

Called by `plain_run`. The watched process has what runners leave to be seen. The script of both is `plain/execute.cjs`.
It must not know what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.infra.grading.runner.runner import Prepared

_RUNNERS = {
    "JEST_WORKER_ID": "1",
    "MOCHA_COLORS": "0",
    "NODE_ENV": "test",
    "NODE_TEST_CONTEXT": "child-v8",
    "VITEST": "true",
    "VITEST_WORKER_ID": "1",
    "VITEST_MODE": "RUN",
    "npm_lifecycle_event": "test",
}
_PACKAGES = re.compile(r"(?:\brequire\(|\bimport\(|\bfrom\s|\bimport\s)\s*[\"']([^./\"'][^\"']*)[\"']")
_PLACE = Path(__file__).parent / "plain"
_PARTS = (
    "clocks",
    "transform",
    "library",
    "runner_tools",
    "tap_context",
    "places",
    "surroundings",
    "values",
    "variations",
    "calls",
)


class PlainNode:
    """JavaScript and TypeScript tests."""

    suffixes: tuple[str, ...] = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx")
    entry_suffix: str = ".cjs"

    def programs(self, ready: Prepared, command: str) -> Iterable[str]:
        """As the port says."""
        return ("node",)

    def entry(self, order: Mapping[str, Any], *, watched: bool, folder: Path) -> str:
        """As the port says."""
        return (_PLACE / "execute.cjs").read_text().replace("'ORDER'", repr(order["own_files"][0]))

    def command(self, program: str, entry: str, *, watched: bool) -> Sequence[str]:
        """As the port says."""
        return [program, entry]

    def environment(self, *, watched: bool, home: str) -> Mapping[str, str]:
        """As the port says."""
        return _RUNNERS if watched else {"HOME": home}

    def parts(self) -> list[tuple[str, str]]:
        """As the port says."""
        return [(name, (_PLACE / f"{name}.cjs").read_text()) for name in _PARTS]

    def modules(self, path: str, text: str) -> list[str]:
        """As the port says: packages that the file asks for, which are loaded first and may replace what they like."""
        return [name for name in _PACKAGES.findall(text) if not name.startswith("node:")]

    def paths(self, folder: Path, files: Iterable[str]) -> list[str]:
        """As the port says."""
        return []

    def left_out(self, sealed: Collection[str], own: Mapping[str, str], changed: Collection[str]) -> list[str]:
        """As the port says."""
        return []
