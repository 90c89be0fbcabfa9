"""Watch over what tests compare with: names of test modules, of their conftests and of modules beside them.

Runs inside the sandbox. A name that tests never bind again is bound by them once; if it is bound to something else
while a test runs, code under test has reached into its caller. What is altered in place is not looked at: tests hand
their lists to code under test, which may well sort them.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from phasegate.infra.grading.integrity.plain.cases import Module
from phasegate.infra.grading.integrity.plain.library import Library, origin
from phasegate.infra.grading.integrity.plain.runners import Tools

OF_TESTS = re.compile(r"(?:^|/)(?:tests?|testing|test_[^/]*|[^/]*_tests?)(?:/|$)", re.IGNORECASE)
"""In the path of a folder of tests."""
REACHES_ANYWHERE = re.compile(
    r"\bglobals\(|\blocals\(|\bvars\(|__dict__|\breload\b|\bexec\(|\beval\(|sys\.modules|f_globals|_getframe|inspect\."
    r"|\b(?:setattr|delattr|patch\.object|spy|stub)\(\s*[^,()]+,\s*(?![\"'])"
)
"""In a test file that may bind names of modules without spelling them."""
_OF_FILE = re.compile(r"[\w/-][\w./-]*")
"""Text before a last dot that names a module or a file, and has no place left for another text."""
_BINDS = re.compile(r"multiple|patch|update|set|dict")
"""In the name of a function that may bind names which it is given as keywords."""
_PLAIN_DATA = (int, float, complex, str, bytes, bool, tuple, frozenset, list, dict, set, type(None))
_LONGEST = 10_000
"""Letters of a value that is compared by how it is written."""
_SHADOWED = {name for name in vars(builtins) if not name.startswith("_")}


class Namespace:
    """Names of a module of the tests, and what they were bound to when it was loaded."""

    def __init__(self, path: str, space: dict[str, Any], tree: ast.Module) -> None:
        """Remember what is there, and what its source says for plain constants."""
        self.path, self._space, self._spec = path, space, space.get("__spec__")
        constants = dict(_constants(tree))
        self._known = tuple(
            (name, constants.get(name, value)) for name, value in space.items() if not name.startswith("__")
        )
        """Pairs, since code under test may find a dictionary of ours and write into it."""
        self._unbound = frozenset(_SHADOWED - space.keys())

    def changes(self, exempt: set[str]) -> Iterator[tuple[str, Any]]:
        """Names that are bound to something else now, and to what, or none if the module was loaded again."""
        space = self._space
        if space.get("__spec__") is not self._spec:
            return
        for name, known in self._known:
            value = space.get(name, known)
            if value is not known and name not in exempt and not self._is_usual(name, value, known):
                yield name, value
        for name in self._unbound & space.keys() - exempt:
            yield name, space[name]

    def take_over(self) -> None:
        """Take what is there now for what is to be there."""
        self._known = tuple((name, self._space.get(name, known)) for name, known in self._known)
        self._unbound -= self._space.keys()

    def _is_usual(self, name: str, value: Any, known: Any) -> bool:
        """True for a module's part that was loaded, for a class that was made again, and for the same data."""
        if isinstance(value, types.ModuleType):
            return sys.modules.get(f"{self._space.get('__name__')}.{name}") is value
        if isinstance(value, type) and isinstance(known, type):
            return (value.__module__, value.__qualname__) == (known.__module__, known.__qualname__)
        return type(value) is type(known) and isinstance(value, _PLAIN_DATA) and _written(value) == _written(known)


class Namespaces:
    """All modules of the tests that are loaded."""

    def __init__(self, library: Library, modules: Iterable[Module], tools: Tools, root: str) -> None:
        """Watch them, each time that the library is checked.

        Args:
            library: Notes what was replaced, and knows which test file runs.
            modules: Test files that were loaded.
            tools: Knows the conftests.
            root: Path of the checkout.
        """
        self._library = library
        files = {module.path: (module.space, module.text) for module in modules}
        beside = dict(files_beside(files, tools, root))
        both = {**beside, **files}
        trees = {path: parsed_source(text) for path, (_, text) in both.items()}
        self._reaching = {path for path, (_, text) in both.items() if REACHES_ANYWHERE.search(text)}
        self._reaching |= {path for path, tree in trees.items() if tree is None}
        if self._reaching - files.keys():  # any test may call what is there
            return
        heads = {name.partition(".")[0] for name in sys.modules}
        heads |= {name for tree in trees.values() if tree for name in _imported_names(tree)}
        self._exempt = {name for tree in trees.values() if tree for name in _bound_from_afar(tree, heads)}
        spaces = {path: Namespace(path, both[path][0], tree) for path, tree in trees.items() if tree}
        self._of_files = {path: namespace for path, namespace in spaces.items() if path in files}
        self._shared = [namespace for path, namespace in spaces.items() if path not in files]
        library.also.append(self.check)

    def check(self) -> None:
        """Note names that code under test has bound to something else: in the file whose test runs, and beside it."""
        running = self._library.running
        own = self._of_files.get(running)
        for namespace in (*self._shared, *([own] if own else ())):
            if running in self._reaching:
                namespace.take_over()
                continue
            for name, value in namespace.changes(self._exempt):
                self._library.replaced.setdefault(f"{namespace.path}::{name}", origin(value))


def files_beside(files: Iterable[str], tools: Tools, root: str) -> Iterator[tuple[str, tuple[dict[str, Any], str]]]:
    """Modules that lie beside tests, and conftests: path, names and source of each."""
    folders = tuple({f"{folder}/" for folder in map(os.path.dirname, files) if OF_TESTS.search(folder)})
    loaded: list[Any] = list(sys.modules.values())
    modules = [vars(module) for module in loaded if isinstance(module, types.ModuleType)]
    for space in (*tools.conftest_spaces, *modules):
        file = space.get("__file__")
        if not isinstance(file, str) or not file.startswith(root + "/") or not os.path.isfile(file):
            continue
        path = os.path.relpath(file, root)
        if path.endswith(".py") and (path.startswith(folders) or os.path.basename(path) == "conftest.py"):
            with open(file, encoding="utf-8", errors="replace") as read:
                yield path, (space, read.read())


def parsed_source(text: str) -> ast.Module | None:
    """A file's syntax, or `None` if what lies there is no longer what was loaded."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """Names by which a file of the tests knows modules."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def _bound_from_afar(tree: ast.Module, heads: set[str]) -> Iterator[str]:
    """Names that a file of the tests binds in a function or in another module, or may well do by a call.

    Args:
        tree: The file's syntax.
        heads: First parts of modules' names; a text that begins otherwise names a file, if it spells it whole.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Call) and _BINDS.search(getattr(node.func, "attr", getattr(node.func, "id", ""))):
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            head, _, last = node.value.rpartition(".")
            if not _OF_FILE.fullmatch(head) or head.partition(".")[0] in heads:
                yield last


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Names that a file binds once, to a number or a text: they are known before code under test is loaded."""
    bound = Counter(name for node in ast.walk(tree) for name in bound_by(node))
    for statement in tree.body if "*" not in bound else ():
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name) and bound[target.id] == 1:
                    yield target.id, statement.value.value


def bound_by(node: ast.AST) -> Iterator[str]:
    """Names that a part of a source binds, in whatever scope."""
    if isinstance(node, ast.Name):
        yield from () if isinstance(node.ctx, ast.Load) else (node.id,)
    else:  # a definition, an import, a handler or a pattern
        for attribute in ("asname", "name", "rest"):
            name = getattr(node, attribute, None)
            if isinstance(name, str):
                yield name.partition(".")[0]


def _written(value: Any) -> str:
    return repr(value)[:_LONGEST]
