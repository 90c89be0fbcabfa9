"""Modules that only this script has loaded, out of sight: a release has loaded what it needs itself.

Runs inside the sandbox, in the plain process. A module that is asked for is there again, and is the same one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from phasegate.infra.grading.integrity.plain.finders import FirstFinders

_KEPT = ("__main__", "threading", "warnings", "linecache", "encodings", "signal")
"""Modules that Python itself looks up by name without importing them."""


class Unloaded:
    """Finder and loader of modules that were taken out of `sys.modules`."""

    def __init__(self, before: Iterable[str], first: FirstFinders) -> None:
        """Take out what was loaded since the process began.

        Args:
            before: Names of the modules that were loaded then.
            first: Finders that are asked before others.
        """
        kept = {*before, *_KEPT}
        names = [name for name in sys.modules if name not in kept and name.partition(".")[0] not in _KEPT]
        self._modules: dict[str, Any] = {name: sys.modules.pop(name) for name in names}
        self._specs = {name: getattr(module, "__spec__", None) for name, module in self._modules.items()}
        first.finders.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find one of these modules."""
        known = self._specs.get(name)
        if name not in self._modules or known is None:
            return None
        spec = type(known)(name, self, origin=known.origin)
        spec.submodule_search_locations = known.submodule_search_locations
        spec.has_location, spec.cached = known.has_location, known.cached
        return spec

    def create_module(self, spec: Any) -> Any:
        """Take the very module that was there before."""
        return self._modules.pop(spec.name)

    def exec_module(self, module: Any) -> None:
        """Put it back as it was, since it has been executed, and with it what it has imported itself."""
        name = module.__spec__.name
        module.__spec__ = self._specs[name]
        pending: list[tuple[str, Any]] = [(name, module)]
        while pending:
            name, module = pending.pop()
            for needed in self._needed(name, module):
                sys.modules[needed] = self._modules.pop(needed)
                pending.append((needed, sys.modules[needed]))

    def _needed(self, name: str, module: Any) -> set[str]:
        """Modules out of sight that a module has names of, its own parts, and packages above all of these."""
        named = {part for part in self._modules if part.startswith(f"{name}.")}
        for value in dict[str, Any](module.__dict__).values():
            owner = value.__name__ if isinstance(value, ModuleType) else None
            owner = value.__module__ if isinstance(value, (type, FunctionType, BuiltinFunctionType)) else owner
            if isinstance(owner, str):
                named |= {owner, *(owner[:at] for at, sign in enumerate(owner) if sign == ".")}
        return named & self._modules.keys()
