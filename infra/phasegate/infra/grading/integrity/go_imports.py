"""Imports between the Go packages of a checkout: the packages that a change can reach.

Called by `go_packages`. A checkout's content is untrusted, so links are not followed. It must not know what tests there
are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from phasegate.infra.system.trees import walk

BODY = re.compile(r"(?m)^(?:func|type|var|const)\b")
"""The first declaration of a source, after which nothing is imported."""
MODULE = re.compile(r"(?m)^module[ \t]+\"?([^\s\"]+)")
_IMPORTED = re.compile(r"[\"`]([^\"`\s]+)[\"`]")
_LEFT_OUT = ("vendor", "testdata", "node_modules")
_LARGEST = 1024 * 1024


def importers(folder: Path, touched: Collection[str]) -> frozenset[str]:
    """List the folders of packages that import others, directly or through packages between; by tests alone, too.

    Args:
        folder: The checkout.
        touched: Folders of the others, below it.

    Returns:
        The folders, without those that are asked about.
    """
    sources = list(_sources(folder))
    modules = {
        declaration[1]: _place(path, folder) for path in sources if (declaration := MODULE.search(_of_module(path)))
    }
    product, tests = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for path in sources:
        if path.suffix == ".go":
            kind = tests if path.name.endswith("_test.go") else product
            kind[_place(path, folder)] |= set(_folders(read_source(path), modules))
    reached, before = set(touched), -1
    while len(reached) != before:
        before = len(reached)
        reached |= {place for place, imported in product.items() if not imported.isdisjoint(reached)}
    by_tests = {place for place, imported in tests.items() if not imported.isdisjoint(reached)}
    return frozenset((reached | by_tests) - {*touched})


def read_source(path: Path) -> str:
    """Text of a regular file; empty for a link and for one that is too large."""
    if path.resolve() != path.absolute() or not path.is_file() or path.stat().st_size > _LARGEST:
        return ""
    return path.read_text(errors="replace")


def _sources(folder: Path) -> Iterator[Path]:
    """Sources of packages and the files that name their modules, without those of dependencies and test data."""
    for parent, folders, files in walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith((".", "_")))
        yield from (Path(parent, name) for name in sorted(files) if name == "go.mod" or name.endswith(".go"))


def _of_module(path: Path) -> str:
    return read_source(path) if path.name == "go.mod" else ""


def _place(path: Path, folder: Path) -> str:
    """Folder of a file below the checkout; empty: its top."""
    return path.parent.relative_to(folder).as_posix().removeprefix(".")


def _folders(text: str, modules: Mapping[str, str]) -> Iterator[str]:
    """Folders of the checkout that a source imports."""
    body = BODY.search(text)
    for match in _IMPORTED.finditer(text, 0, body.start() if body else len(text)):
        inside = [name for name in modules if match[1] == name or match[1].startswith(f"{name}/")]
        if inside:
            module = max(inside, key=len)
            yield "/".join(filter(None, (modules[module], match[1][len(module) + 1 :])))
