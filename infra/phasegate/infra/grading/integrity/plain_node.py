"""Start of the plain process for JavaScript and TypeScript tests, and of its watched twin.

Called by `plain_run`. The watched process has what runners leave to be seen. The script of both is `plain/execute.cjs`.
It must not know what is compared.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.infra.documents.json_text import json_table_or_empty
from phasegate.infra.grading.integrity.go_imports import read_source
from phasegate.infra.grading.runner.runner import Prepared
from phasegate.infra.grading.tree.planted_names import WORDS

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
_ASKS_FOR_PLACE = re.compile(
    r"__dirname|__filename|import\.meta|require\.(?:main|resolve|cache)|\bmodule\.(?:paths?|parent|filename|id|children)\b"
    r"|process\.(?:argv|cwd|mainModule|std(?:in|out|err))|isTTY"
    r"|homedir|userInfo|env\.HOME\b|path\.(?:resolve|relative)\(|\b[fl]?statSync\(|node_modules|(?:package|tsconfig)(?:-lock)?\.json|\.stack\b|prepareStackTrace"
    r"|\b(?:exists|stat|lstat|access|readdir|realpath)(?:Sync)?\(|createRequire|findPackageJSON|\beval\(|\bFunction\("
)
_NAME = re.compile(r"(?:@[a-z0-9~-][\w.~-]*/)?[a-z0-9~-][\w.~-]*", re.IGNORECASE)
_PLACE = Path(__file__).parent / "plain"
_PARTS = (
    "clocks",
    "transform",
    "compiled",
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
    asks_for_place: re.Pattern[str] = _ASKS_FOR_PLACE

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

    def installed_place(self, ready: Prepared, program: str) -> str:
        """As the port says: beside packages of all users, whose own packages may lie above."""
        name = json_table_or_empty(read_source(ready.folder / "package.json"), "package.json").get("name")
        is_name = isinstance(name, str) and _NAME.fullmatch(name)
        return f"lib/node_modules/{name if is_name else secrets.choice(WORDS)}"

    def left_out(self, sealed: Collection[str], own: Mapping[str, str], changed: Collection[str]) -> list[str]:
        """As the port says."""
        return []
