"""Python properties as ordinary tests: generators stand in the test file, and each test loops over its inputs itself.

Called by `heldout`. Code under test can look at its callers: at their names, their files and the names they know. So a
property calls it from the frame of a test, as any other test does, and what made the inputs is bound to no name of the
file for longer than it is needed. It must not know what a property says.
"""

from __future__ import annotations

import ast
import builtins
import random
import symtable
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.grading.tree.bare_source import bare_definitions, filled
from phasegate.infra.grading.tree.planted_names import WORDS

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SOURCE = Path(__file__).parent / "python.py"
_ROWS = "DrawnInputs"
"""Class of the generators' source that holds the inputs of a property."""


def placed_python(content: str, seed: int) -> str:
    """A test file with generators of its own in the place of their import; as it is where it is no Python.

    Args:
        content: Its text.
        seed: What inputs, and the names that are new in the file, are drawn from.
    """
    module = python_or_none(content)
    if module is None:
        return content
    words = _free_words(content, seed)
    known = {alias.asname or alias.name: alias.name for node in _imports(module) for alias in node.names}
    bound = set(_bound(module))
    names = {name: name if name in bound else next(words) for name in known}
    rows, make = next(words), next(words)
    module = _Renamed(names).visit(module)
    given = {names[name] for name, original in known.items() if original == "given"}
    rewritten = _Inlined(given, rows, words).visit(module)
    used = set(_used_later(module))
    gone = {rows, *(new for old, new in names.items() if old not in bound)} - used
    is_plain = all(node in module.body for node in _imports(module))
    module = _Placed(known, names, make, rows, seed).visit(rewritten)
    if is_plain:
        module.body.append(ast.Delete([ast.Name(name, ast.Del()) for name in sorted(gone)]))
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"


def _generators(make: str, bound: dict[str, str], seed: int) -> list[ast.stmt]:
    """Statements that bind names to what the generators' source defines, from a function that goes at once."""
    inner = [
        *bare_definitions(_SOURCE, SEED=seed),
        ast.Return(ast.Tuple([ast.Name(name, ast.Load()) for name in bound.values()], ast.Load())),
    ]
    return filled(f"def {make}():\n pass\n{', '.join(bound)}, = {make}()\ndel {make}", inner)


@dataclass
class _Placed(ast.NodeTransformer):
    """Puts the generators in the place of their imports."""

    known: dict[str, str]
    names: dict[str, str]
    make: str
    rows: str
    seed: int

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if not _is_import(node):
            return node
        imported = [alias.asname or alias.name for alias in node.names]
        bound = {self.names[name]: self.known[name] for name in imported}
        return _generators(self.make, {**bound, self.rows: _ROWS}, self.seed)


@dataclass
class _Renamed(ast.NodeTransformer):
    """Gives names other ones, wherever they are read."""

    names: dict[str, str]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node


@dataclass
class _Inlined(ast.NodeTransformer):
    """Has properties go through their inputs themselves, where they are plain functions of a module or a class."""

    given: Collection[str]
    rows: str
    words: Iterator[str]
    in_class: bool = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = before
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inlined(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._inlined(node)

    def _inlined(self, node: _Function) -> _Function:
        last = node.decorator_list[-1] if node.decorator_list else None
        if not (isinstance(last, ast.Call) and isinstance(last.func, ast.Name) and last.func.id in self.given):
            return node
        drawn = _drawn(node, last, in_class=self.in_class)
        if drawn is None or any(isinstance(child, ast.Return | ast.Yield | ast.YieldFrom) for child in _own(node.body)):
            return node
        owner = [argument.arg for argument in node.args.args if argument.arg not in drawn]
        rows = next(self.words)
        default = _rows(self.rows, node.name, last)
        has_doc = len(node.body) > 1 and ast.get_docstring(node, clean=False) is not None
        hidden = sorted({*_locals(node), *drawn})
        forgets = f"{' = '.join(hidden)} = None\n" if hidden else ""
        targets = f"{', '.join(drawn)}," if drawn else "()"
        text = (
            f"for {targets} in {rows}:\n try:\n  pass\n except BaseException:\n  {rows}.note()\n{forgets}{rows}.end()"
        )
        loop = filled(text, node.body[1:] if has_doc else node.body)
        node.body = [*node.body[:1], *loop] if has_doc else loop
        node.decorator_list.pop()
        node.args = ast.arguments([], [ast.arg(name) for name in owner], None, [ast.arg(rows)], [default], None, [])
        return node


def _rows(kind: str, name: str, given: ast.Call) -> ast.Call:
    """The call that makes a property's inputs."""
    named = [keyword for keyword in given.keywords if keyword.arg != "examples"]
    number = [keyword.value for keyword in given.keywords if keyword.arg == "examples"]
    keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in named]
    words = ast.Dict(keys, [keyword.value for keyword in named])
    return ast.Call(
        ast.Name(kind, ast.Load()),
        [ast.Constant(name), ast.List([*given.args], ast.Load()), words, *(number or [ast.Constant(100)])],
        [],
    )


def _drawn(node: _Function, given: ast.Call, *, in_class: bool) -> list[str] | None:
    """Names of the arguments that are drawn, in the order of the generators; `None` if that cannot be told."""
    arguments = node.args
    if arguments.posonlyargs or arguments.vararg or arguments.kwarg or arguments.defaults:
        return None
    if any(arguments.kw_defaults) or any(isinstance(argument, ast.Starred) for argument in given.args):
        return None
    if any(keyword.arg is None for keyword in given.keywords):
        return None
    names = [argument.arg for argument in arguments.args][1 if in_class else 0 :]
    named = [keyword.arg for keyword in given.keywords if keyword.arg and keyword.arg != "examples"]
    by_place = names[: len(given.args)]
    rest = {*names[len(by_place) :], *(argument.arg for argument in arguments.kwonlyargs)}
    fits = len(by_place) == len(given.args) and rest == {*named} and len(node.decorator_list) >= 1
    is_plain = not any("method" in ast.unparse(decorator) for decorator in node.decorator_list)
    return [*by_place, *named] if fits and is_plain else None


def _own(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes of a function's own body, without those of functions in it."""
    for node in body:
        yield node
        if not isinstance(node, _Function | ast.ClassDef):
            yield from _inner(node)


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _Function | ast.ClassDef | ast.Lambda):
            yield from _inner(child)


def _locals(node: _Function) -> set[str]:
    """Local names of a function but for the object that it is a method of: a report may show their values."""
    bare = ast.unparse(ast.fix_missing_locations(node))
    table = symtable.symtable(bare, "test", "exec").get_children()
    scope = next(child for child in table if child.get_name() == node.name and isinstance(child, symtable.Function))
    owner = node.args.args[0].arg if node.args.args and node.args.args[0].arg in ("self", "cls") else ""
    return {*scope.get_locals()} - {owner}


def _imports(module: ast.Module) -> list[ast.ImportFrom]:
    return [node for node in ast.walk(module) if _is_import(node)]


def _is_import(statement: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(statement, ast.ImportFrom) and statement.module == "heldout"


def _bound(module: ast.Module) -> Iterator[str]:
    """Names that a file binds otherwise than by the import of the generators, or spells as arguments."""
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases) if not _is_import(node):
                yield from (alias.asname or alias.name for alias in aliases)
            case _:
                pass


def _used_later(module: ast.Module) -> Iterator[str]:
    """Names that functions read, so that they are needed after the file was loaded."""
    for node in ast.walk(module):
        if isinstance(node, _Function | ast.Lambda):
            body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
            yield from (child.id for part in body for child in ast.walk(part) if isinstance(child, ast.Name))


def _free_words(content: str, seed: int) -> Iterator[str]:
    """Ordinary words that a text does not hold, in an order of the seed."""
    chance = random.Random(f"{seed} names")  # noqa: S311 - to be drawn again from its seed
    words = [word for word in WORDS if word not in content.lower() and not hasattr(builtins, word)]
    chance.shuffle(words)
    yield from words
    number = 1
    while True:
        number += 1
        yield from (f"{word}{number}" for word in WORDS if f"{word}{number}" not in content)
