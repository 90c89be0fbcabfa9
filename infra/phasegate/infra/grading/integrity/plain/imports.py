"""Watch over modules that tests import: those that code has replaced as a whole.

Runs inside the sandbox. A module of the library is the same if it gives the same functions, however it is loaded. A
module beside tests is the same if it comes from a file that tests would find.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from phasegate.infra.grading.integrity.plain.cases import Module, Test
from phasegate.infra.grading.integrity.plain.library import Library, origin
from phasegate.infra.grading.integrity.plain.namespaces import OF_TESTS, bound_by, files_beside, parsed_source
from phasegate.infra.grading.integrity.plain.runners import Tools
from phasegate.infra.grading.integrity.plain.sources import is_runner

_SWAPS = re.compile(r"sys\.modules|meta_path|path_hooks|import_fresh|\breload\b|\bmodules\b\s*[\[,]")
"""In a file of the tests that may put modules in the place of others."""
_ASSERTS = re.compile(r"assert\w+|fail|_(?:base|get)\w*[aA]ssert\w*|_formatMessage|_truncateMessage")
"""Name of a method of unittest's cases that judges."""

_HANDED_OVER = re.compile(r"(?m)^(?!\s*(?:async\s+)?def\s).*[(,=]\s*self\s*[,)]")
"""In a test file whose cases are given to other functions, which may put into them what they like."""


class Imports:
    """Modules that tests import, which code under test may have swapped."""

    def __init__(self, library: Library, modules: Iterable[Module], tools: Tools, order: dict[str, Any]) -> None:
        """Check what tests have imported, and watch it each time that the library is checked.

        Args:
            library: Notes what was replaced.
            modules: Test files that were loaded.
            tools: Knows the conftests.
            order: Names the `root`, the `paths` to import from, and the project's `own` files.
        """
        self._library = library
        self._root: str = order["root"]
        paths: list[str] = order["paths"]
        places = [os.path.join(self._root, folder) for folder in paths]
        self._places = [os.path.normpath(place) for place in (*places, *library.places)]
        files = {module.path: (module.space, module.text) for module in modules}
        both = {**dict(files_beside(files, tools, self._root)), **files}
        swapping = {path: text for path, (_, text) in both.items() if _SWAPS.search(text)}
        if swapping.keys() & files.keys() - {*order["own"]}:  # on the base commit these may not get so far
            return
        self._exempt = {word for text in swapping.values() for word in re.findall(r"\w+", text)}
        trees = {path: tree for path, (_, text) in both.items() if (tree := parsed_source(text))}
        self._usual: dict[str, Any] = {}
        self._helpers = dict(self._beside_tests(trees))
        self._known = {name: [module] for name, module in library.modules.items() if not self._is_exempt(name)}
        for path, tree in trees.items():
            for dotted, value in _bound_at_first(tree, both[path][0]):
                self._look_at_binding(dotted, value)
        library.also.append(self.check)

    def check(self) -> None:
        """Note modules that are no longer what tests would import."""
        for name, known in self._known.items():
            module = sys.modules.get(name)
            if module is None or is_runner(name) or any(module is version for version in known):
                continue
            other = _other_function(module, known[0])
            if other is not None:
                self._library.replaced.setdefault(name, origin(other[0]))
            elif type(module) is types.ModuleType and name not in self._library.replaced:
                known.append(module)
                self._library.watch(name, module)
        for name, path in self._helpers.items():
            module = sys.modules.get(name)
            if module is None or module is self._usual.get(name):
                continue
            if self._is_from_file(module):
                self._usual[name] = module
            else:
                self._library.replaced.setdefault(path, _file_of(module) or origin(module))

    def _is_exempt(self, name: str) -> bool:
        return not self._exempt.isdisjoint(name.split("."))

    def _look_at_binding(self, dotted: str, value: Any) -> None:
        """Compare a name of the tests that an import has bound with what it would bind."""
        if dotted in self._helpers:
            if not self._is_from_file(value):
                path = self._helpers[dotted]
                self._library.replaced.setdefault(path, _file_of(value) or origin(value))
            return
        if dotted in self._known:
            other = None if value is self._known[dotted][0] else _other_function(value, self._known[dotted][0])
        else:
            module, _, name = dotted.rpartition(".")
            real = vars(self._known[module][0]).get(name) if module in self._known else None
            other = None if not callable(real) or same_code(value, real) else (value,)
        if other is not None:
            self._library.replaced.setdefault(dotted, origin(other[0]))

    def _beside_tests(self, trees: dict[str, ast.Module]) -> Iterator[tuple[str, str]]:
        """Modules that tests import from their own folders: name, and path of the file."""
        for path, tree in trees.items():
            for name in _imports(tree, path):
                for place in self._places:
                    file = os.path.join(place, *name.split("."))
                    location = next(
                        (candidate for candidate in (f"{file}.py", f"{file}/__init__.py") if os.path.isfile(candidate)),
                        "",
                    )
                    relative = os.path.relpath(location, self._root) if location else ""
                    if location and OF_TESTS.search(os.path.dirname(relative)) and not self._is_exempt(name):
                        yield name, relative

    def _is_from_file(self, module: Any) -> bool:
        """True for a module that has a file where tests import from, in a folder of tests, or in a package."""
        space, file = _space_of(module), _file_of(module)
        if not file:
            return "__path__" in space  # a folder without a file of its own
        if not os.path.isfile(file) or not isinstance(module, types.ModuleType):
            return False
        relative = os.path.relpath(file, self._root)
        if not relative.startswith("..") and OF_TESTS.search(os.path.dirname(relative)):
            return True
        folder = file
        for _ in range(str(space.get("__name__")).count(".") + 1 + (os.path.basename(file) == "__init__.py")):
            folder = os.path.dirname(folder)
        return folder in self._places


def assertions_of_others(test: Test, root: str) -> Iterator[tuple[str, str]]:
    """Methods and comparisons of a case of unittest that code under test has put into it, and where they are from.

    A case that inherits from a class of the product is left alone, and one that hands itself over to others.
    """
    case: Any = test.obj
    registered: dict[Any, Any] | None = getattr(case, "_type_equality_funcs", None)
    if type(registered) is not dict or _HANDED_OVER.search(test.file.text):
        return
    own = [cls for cls in type(case).__mro__ if not _is_of_others(_file_of_class(cls), test, root)]
    if len(own) != len(type(case).__mro__):
        return
    classes = [cls for cls in own if not is_runner(cls.__module__) and cls is not object]
    pairs = [(name, value) for space in (case.__dict__, *map(vars, classes)) for name, value in list(space.items())]
    named = [(name, value) for name, value in pairs if _ASSERTS.fullmatch(name) and callable(value)]
    if "addTypeEqualityFunc" not in test.file.text:
        named += [("addTypeEqualityFunc", value) for value in registered.values() if callable(value)]
    for name, value in named:
        if _is_of_others(origin(value), test, root):
            yield f"{test.file.path}::{test.name.partition('::')[0]}.{name}", origin(value)


def _is_of_others(file: str, test: Test, root: str) -> bool:
    """True for a file of the checkout that is no test's."""
    if file == test.file.file or not file.startswith(root + "/"):
        return False
    path = os.path.relpath(file, root)
    return not (OF_TESTS.search(path.removesuffix(".py")) or os.path.basename(path) == "conftest.py")


def _file_of_class(cls: type) -> str:
    return str(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")


def _space_of(module: Any) -> dict[str, Any]:
    """Names of a module as they are, without loading one that waits for it."""
    try:
        return dict(object.__getattribute__(module, "__dict__"))
    except AttributeError:
        return {}


def _file_of(module: Any) -> str:
    file = _space_of(module).get("__file__")
    return os.path.normpath(file) if isinstance(file, str) else ""


def _other_function(module: Any, known: types.ModuleType) -> tuple[Any] | None:
    """A function or class of a module that is not what another one gives by that name, or `None` if there is none."""
    for name, real in list(vars(known).items()):
        if name.startswith("__") or not callable(real):
            continue
        value = real
        with contextlib.suppress(Exception):  # a module that has no such name, or cannot load it
            value = getattr(module, name)
        if not same_code(value, real):
            return (value,)
    return None


def same_code(value: Any, known: Any) -> bool:
    """True for the same function or class, or one that was made once more from the same source."""
    if value is known:
        return True
    if isinstance(value, types.FunctionType) and isinstance(known, types.FunctionType):
        return value.__code__ == known.__code__
    if isinstance(value, type) and isinstance(known, type):
        if (value.__module__, value.__qualname__) != (known.__module__, known.__qualname__):
            return False
        members = [(member, vars(value).get(name, member)) for name, member in list(vars(known).items())]
        pairs = [(member, other) for member, other in members if isinstance(member, types.FunctionType)]
        return all(
            isinstance(other, types.FunctionType) and other.__code__ == member.__code__ for member, other in pairs
        )
    kinds = [(type(side).__module__, type(side).__qualname__) for side in (value, known)]
    if isinstance(value, types.MethodType) and isinstance(known, types.MethodType):
        return same_code(value.__func__, known.__func__)
    return kinds[0] == kinds[1]


def _imports(tree: ast.Module, path: str) -> Iterator[str]:
    """Dotted names of modules that a file of the tests imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level < 2:
            package = os.path.dirname(path).replace("/", ".") if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            yield from filter(None, (base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)))


def _bound_at_first(tree: ast.Module, space: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted names of what a file imports once, when it is loaded, and what was bound by it."""
    bound = Counter(name for node in ast.walk(tree) for name in bound_by(node))
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        for dotted, name in names:
            if name in space and bound[name] == 1 and not is_runner(dotted):
                yield dotted, space[name]
