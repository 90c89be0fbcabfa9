"""Test runners out of sight: loaded for tests that use them, and not to be found by code under test.

Runs inside the sandbox. A release has no runner; code under test is not to see one, while a test may well call
`pytest.raises`. Modules of runners, and those beside tests, are served from memory.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.machinery
import sys
from collections.abc import Generator
from typing import Any

from phasegate.infra.grading.integrity.plain.fixtures import NotHere
from phasegate.infra.grading.integrity.plain.sources import is_runner

_NO_PARTS = ("pytest", "_pytest", "pluggy", "xdist")
"""Runners that are no part of Python."""


class Tools:
    """Modules of test runners: in `sys.modules` while the process is watched, else known here alone."""

    def __init__(self, folders: tuple[str, ...], *, watched: bool) -> None:
        """Load those that are installed.

        Args:
            folders: Of test files; modules in them may import runners, too.
            watched: True to leave them where they can be seen.
        """
        self._folders, self._watched = folders, watched
        self._kept: dict[str, Any] = {}
        self.conftests: dict[str, list[Any]] = {}
        """Fixtures of the conftests that were run, by their path."""
        self._space = {**vars(builtins), "__import__": self._imported}
        self.are_hidden = False
        if not watched:
            sys.meta_path.insert(0, self)
        for name in ("unittest", "unittest.mock", "pytest", "_pytest.monkeypatch", "_pytest.outcomes"):
            with contextlib.suppress(ImportError):
                __import__(name)
        self._hide()

    def __call__(self, module: str, attribute: str | None = None) -> Any:
        """A runner's module, or something of it."""
        with self.shown():
            try:
                found = importlib.import_module(module)
                if attribute is None:
                    return found
                if not hasattr(found, attribute):
                    return importlib.import_module(f"{module}.{attribute}")
                return getattr(found, attribute)
            except ImportError as error:
                raise NotHere(str(error)) from error

    @contextlib.contextmanager
    def shown(self) -> Generator[None, None, None]:
        """Show runners for a while: as long as nothing of the change is run."""
        if self._watched or not self.are_hidden:
            yield
            return
        theirs = {name: module for name, module in sys.modules.items() if is_runner(name)}  # loaded by the change
        sys.modules.update(self._kept)
        self.are_hidden = False
        try:
            yield
        finally:
            self._hide()
            sys.modules.update(theirs)

    def _hide(self) -> None:
        if not self._watched:
            for name in [name for name in sys.modules if is_runner(name)]:
                self._kept[name] = sys.modules.pop(name)
            self.are_hidden = True

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find modules of runners, while these are shown, and modules beside tests; they import by `_imported`."""
        if is_runner(name) and self.are_hidden:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if not is_runner(name) and not str(spec and spec.origin).startswith(self._folders):
            return None
        loader: Any = spec and spec.loader
        if hasattr(loader, "exec_module"):
            load = loader.exec_module

            def exec_module(module: Any) -> None:
                vars(module)["__builtins__"] = self._space
                load(module)

            loader.exec_module = exec_module
        return spec

    def _imported(self, name: str, space: Any = None, *words: Any, **named: Any) -> Any:
        """Import for a runner, while it is used, or for a module beside tests; runners are shown for runners alone."""
        asker: str = space.get("__name__", "") if space else ""
        if is_runner(name) or is_runner(asker):
            with self.shown():
                return builtins.__import__(name, space, *words, **named)
        return builtins.__import__(name, space, *words, **named)


class Absent:
    """Finder of modules that does not find runners, as they are not in a release."""

    def __init__(self, tools: Tools, finder: Any) -> None:
        """Stand in for another finder."""
        self._tools, self._finder = tools, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, *rest: Any) -> Any:
        """Find nothing of a runner that is no part of Python."""
        top = name.partition(".")[0]
        is_gone = self._tools.are_hidden and (top in _NO_PARTS or top.startswith("pytest_"))
        return None if is_gone else self._finder.find_spec(name, *rest)
