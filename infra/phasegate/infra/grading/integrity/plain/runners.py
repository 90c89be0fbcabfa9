"""Test runners out of sight: loaded for tests that use them, and not to be found by code under test.

Runs inside the sandbox. A release has no runner; code under test is not to see one, while a test may well call
`pytest.raises`. Modules of runners, and those beside tests, are served from memory.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import types
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any

from phasegate.infra.grading.integrity.plain.finders import FirstFinders
from phasegate.infra.grading.integrity.plain.fixtures import NotHere
from phasegate.infra.grading.integrity.plain.packages import NO_PARTS, Packages
from phasegate.infra.grading.integrity.plain.sources import is_runner

_ASKS = re.compile(r"pytest|\b(?:pluggy|xdist|monkeypatch|tmpdir|recwarn|mocker)\b")
"""Signs of a test that uses more than Python has: its imports, and fixtures that pytest gives."""


class Tools:
    """Modules of test runners: in `sys.modules` while the process is watched, else known here alone."""

    def __init__(
        self, folders: tuple[str, ...], *, watched: bool, hidden: Sequence[str] = (), texts: Iterable[str] = ()
    ) -> None:
        """Load those that are installed; in the plain process, pytest only if a text asks for it: it leaves traces.

        Args:
            folders: Of test files; modules in them may import runners, too.
            watched: True to leave them where they can be seen.
            hidden: Further places of modules, which `sys.path` does not name.
            texts: Tests, and the conftests above them.
        """
        self._folders, self.watched, self._hidden = folders, watched, hidden
        self.packages = Packages()
        self._kept: dict[str, Any] = {}
        self.conftests: dict[str, list[Any]] = {}
        """Fixtures of the conftests that were run, by their path."""
        self.conftest_spaces: list[dict[str, Any]] = []
        """Names of these conftests."""
        self._space = {**vars(builtins), "__import__": self._imported}
        self._importlib = types.ModuleType("importlib")
        own = {"import_module": self._import_module, "__getattr__": partial(getattr, importlib)}
        vars(self._importlib).update(own)
        self.are_hidden = False
        self.first = None if watched else FirstFinders()
        """Finders that are asked before others, in the plain process."""
        if self.first is not None:
            self.first.finders.append(self)
        self.has_all = watched or any(map(_ASKS.search, texts))
        """True if runners that are no part of Python are loaded from the beginning."""
        beyond = ("pytest", "_pytest.monkeypatch", "_pytest.outcomes") if self.has_all else ()
        for name in ("unittest", "unittest.mock", *beyond):
            with contextlib.suppress(ImportError):
                __import__(name)
        self._hide()

    def __call__(self, module: str, attribute: str | None = None) -> Any:
        """A runner's module, or something of it."""
        with self.shown():
            try:
                runner = importlib.import_module(module)
                if attribute is None:
                    return runner
                if not hasattr(runner, attribute):
                    return importlib.import_module(f"{module}.{attribute}")
                return getattr(runner, attribute)
            except ImportError as error:
                raise NotHere(str(error)) from error

    @contextlib.contextmanager
    def shown(self) -> Generator[None, None, None]:
        """Show runners for a while: as long as nothing of the change is run."""
        if self.watched or not self.are_hidden:
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
        if not self.watched:
            for name in [name for name in sys.modules if is_runner(name)]:
                self._kept[name] = sys.modules.pop(name)
            self.are_hidden = True

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find modules of runners, while these are shown, and modules beside tests; they import by `_imported`."""
        if is_runner(name) and self.are_hidden:
            return None
        find: Any = importlib.machinery.PathFinder.find_spec
        spec = self.packages.find_spec(name) or find(name, path)
        if spec is None and path is None:
            spec = find(name, self._hidden)
        if not is_runner(name) and not str(spec and spec.origin).startswith(self._folders):
            return None
        loader: Any = spec and spec.loader
        if hasattr(loader, "exec_module"):
            load = loader.exec_module

            def exec_module(module: Any) -> None:
                space: dict[str, Any] = module.__dict__
                space["__builtins__"] = self._space
                load(module)
                if is_runner(name):
                    ours = {"importlib": self._importlib, "import_module": self._import_module}
                    real = {"importlib": importlib, "import_module": importlib.import_module}
                    space.update({key: value for key, value in ours.items() if space.get(key) is real[key]})

            loader.exec_module = exec_module
        return spec

    def be_absent(self) -> None:
        """Hide runners that are no part of Python from all but installed packages: a release has none."""

        def is_absent(name: str) -> bool:
            top = name.partition(".")[0]
            return self.are_hidden and (top in NO_PARTS or top.startswith("pytest_")) and not _is_asked_by_package()

        if self.first is not None:
            self.first.is_absent = is_absent

    def _import_module(self, name: str, package: str | None = None) -> Any:
        """Import by name for a runner, which asks for modules of its own."""
        with self.shown():
            return importlib.import_module(name, package)

    def _imported(self, name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        """Import for a runner, while it is used, or for a module beside tests; runners are shown for runners alone."""
        asker: str = space.get("__name__", "") if space else ""
        if not is_runner(name) and (not is_runner(asker) or (level == 0 and name in sys.modules)):
            return builtins.__import__(name, space, local, names, level)
        runner = self._found(name, space, names or (), level) if self.are_hidden else None
        if runner is not None:
            return runner
        with self.shown():
            return builtins.__import__(name, space, local, names, level)

    def _found(self, name: str, space: Any, names: Any, level: int) -> Any:
        """A module of a runner that is loaded; runners import while they run, and showing them takes time."""
        package = space.get("__package__", "") if space and level else ""
        whole = importlib.util.resolve_name("." * level + name, package) if level else name
        module = self._kept.get(whole)
        if module is None or not all(hasattr(module, attribute) for attribute in names):
            return None
        return module if names else None if level else self._kept.get(name.partition(".")[0])


def _is_asked_by_package() -> bool:
    """True if an installed package imports a module; it may need one that runners need, too."""
    frame: Any = inspect.currentframe()
    own = frame.f_code.co_filename
    while frame and (frame.f_code.co_filename == own or "importlib" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and re.search(r"/(?:site|dist)-packages/", frame.f_code.co_filename) is not None
