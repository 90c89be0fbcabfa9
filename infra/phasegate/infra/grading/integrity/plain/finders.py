"""Finders of modules that stand before Python's own, out of `sys.meta_path`: a release has none there.

Runs inside the sandbox, in the plain process.
"""

from __future__ import annotations

import importlib.machinery
from collections.abc import Callable
from typing import Any


class FirstFinders:
    """Finders that are asked before all others, and modules that Python's own finder of files does not find."""

    def __init__(self) -> None:
        """Stand in front of the finders that are classes of Python's own."""
        self.finders: list[Any] = []
        self.is_absent: Callable[[str], bool] = lambda _: False
        """True for the name of a module that is not to be found in a file."""
        builtin: Any = importlib.machinery.BuiltinImporter
        files: Any = importlib.machinery.PathFinder
        self._find_builtin, self.find_file = builtin.find_spec, files.find_spec

        def find_first(_: type, name: str, path: Any = None, target: Any = None) -> Any:
            specs = (finder.find_spec(name, path, target) for finder in self.finders)
            first = next((spec for spec in specs if spec is not None), None)
            return self._find_builtin(name, path, target) if first is None else first

        def find_file(_: type, name: str, path: Any = None, target: Any = None) -> Any:
            return None if self.is_absent(name) else self.find_file(name, path, target)

        find_first.__name__ = find_file.__name__ = "find_spec"
        builtin.find_spec, files.find_spec = classmethod(find_first), classmethod(find_file)
