"""Port to the tests of one language, for a plain process and its watched twin.

Implemented by `plain_python`, `plain_node` and `plain_go`, called by `plain_run`. It must not know what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from phasegate.infra.grading.runner.runner import Prepared


class Language(Protocol):
    """Tests of one language."""

    suffixes: tuple[str, ...]
    """Of test files that can be run."""
    entry_suffix: str
    """Of the script that runs them."""
    asks_for_place: re.Pattern[str]
    """In a product file that may ask where it lies, or how it was built."""

    def programs(self, ready: Prepared, command: str) -> Iterable[str]:
        """Programs that may run the tests, the likeliest first.

        Args:
            ready: The checkout.
            command: The project's test command.
        """
        ...

    def entry(self, order: Mapping[str, Any], *, watched: bool, folder: Path) -> str:
        """Text of the script.

        Args:
            order: Its order; `own_files` are the paths of a file with the order, and of the script.
            watched: True for the watched process.
            folder: The checkout.
        """
        ...

    def command(self, program: str, entry: str, *, watched: bool) -> Sequence[str]:
        """Words that start the script."""
        ...

    def environment(self, *, watched: bool, home: str) -> Mapping[str, str]:
        """Variables of the process.

        Args:
            watched: True for the watched process.
            home: HOME of the plain process.
        """
        ...

    def parts(self) -> list[tuple[str, str]]:
        """Names and texts of modules that the script consists of."""
        ...

    def modules(self, path: str, text: str) -> list[str]:
        """Names of modules that are loaded for a changed file besides what tests load."""
        ...

    def paths(self, folder: Path, files: Iterable[str]) -> list[str]:
        """Folders of the project that tests import from."""
        ...

    def installed_place(self, ready: Prepared, program: str) -> str:
        """Folder of a package that a package manager has installed, relative to the top of a checkout; empty: none.

        Args:
            ready: The checkout.
            program: Program that runs the tests.
        """
        ...

    def left_out(self, sealed: Collection[str], own: Mapping[str, str], changed: Collection[str]) -> list[str]:
        """Folders with tests that concern the change and that are not run, since they are too many.

        Args:
            sealed: Paths of sealed tests.
            own: Path and text of the project's tests.
            changed: Paths of product files that the change has.
        """
        ...
