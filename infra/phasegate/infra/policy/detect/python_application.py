"""Applications of Flask and FastAPI in a Python project, told from libraries of these frameworks. Called by `service`.

It reads files; nothing is run or imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from phasegate.infra.documents.python_source import python_or_none
from phasegate.infra.policy.detect.source_tree import SourceTree, table

_DEMONSTRATIONS = {
    "example",
    "demo",
    "demos",
    "sample",
    "samples",
    "tutorial",
    "tutorials",
    "playground",
    "doc",
    "scripts",
}
"""Folders besides those that `SourceTree` knows."""


@dataclass(frozen=True)
class Application:
    """An object that a server runs.

    Attributes:
        framework: The one it belongs to.
        path: Its module's file.
        module: Its module's name.
        variable: Its name in the module.
    """

    framework: Literal["Flask", "FastAPI"]
    path: PurePosixPath
    module: str
    variable: str


def find_application(tree: SourceTree, sources: Mapping[PurePosixPath, str]) -> Application | None:
    """Return the first application of a project that is not itself a framework or an extension of one.

    Args:
        tree: The project.
        sources: Its Python files that are no tests, with their texts.
    """
    for path, text in sources.items():
        if _DEMONSTRATIONS.isdisjoint(path.parts[:-1]) and ("Flask(" in text or "FastAPI(" in text):
            for application in _applications(path, text):
                return None if _is_library(tree, path) else application
    return None


def _applications(path: PurePosixPath, text: str) -> Iterator[Application]:
    """Applications that a module makes when it is imported."""
    module = python_or_none(text)
    if module is None:
        return
    parts = path.with_suffix("").parts
    name = ".".join(part for part in parts[parts[0] == "src" :] if part != "__init__")
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Call(func=function)):
                pass
            case ast.AnnAssign(target=ast.Name(id=variable), value=ast.Call(func=function)):
                pass
            case _:
                continue
        match ast.unparse(function).rpartition(".")[2]:
            case "Flask" | "FastAPI" as framework:
                yield Application(framework, path, name, variable)
            case _:
                pass


def _is_library(tree: SourceTree, path: PurePosixPath) -> bool:
    """Say that a project is a framework or an extension, so that an application in it shows how it is used.

    A project may be named after a framework and be an application of it: then the application is in its own package.
    """
    project = table(tree.toml("pyproject.toml"), "project")
    classic = "" if project else tree.text("setup.cfg") + tree.text("setup.py")
    text = f"{project.get('classifiers', '')}{classic}"
    if re.search(r"Framework :: (?:Flask|FastAPI)|Topic :: .*Libraries", text):
        return True
    match = re.search(r"""\bname\s*=\s*["']?([\w.-]+)""", classic)
    name = re.sub(r"[-_.]+", "_", str(project.get("name") or (match[1] if match else ""))).lower()
    if name in ("flask", "fastapi"):
        return True
    is_extension = name.startswith(("flask_", "fastapi_")) or name.endswith(("_flask", "_fastapi"))
    return is_extension and _has_package(tree, name) and name not in path.with_suffix("").parts


def _has_package(tree: SourceTree, name: str) -> bool:
    places = (f"{name}.py", f"{name}/__init__.py", f"src/{name}.py", f"src/{name}/__init__.py")
    return any(place in tree for place in places)
