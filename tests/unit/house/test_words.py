"""Words of the house: a public class name means one thing, and words that were given up stay away."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

FLOORS = ("flows", "agents", "infra")
ROOTS = (*FLOORS, "benchmarks", "tests")
BANNED = re.compile(r"\b(doorbell|heed|carrier|caretaker|way_back|small_gates|taking_out|elsewhere)\b")

OPENERS = {"What", "Which", "Whether", "Who", "How", "Where", "Why", "One", "Those", "Let", "Have"}
"""Words that no docstring begins with: a docstring names the thing, then says what it does."""
SENT_TO_MODELS = {"ChangeDraft", "IncidentDraft", "ReleasePlanDraft"}
"""Classes whose docstring is part of each request to a model, and so of digests that are stored."""

VAGUE = {"one", "made", "found", "said", "told"}
"""Words that name no local: a local is named by the noun of what it holds."""
SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.comprehension

NOT_UNIQUE = {"Evidence"}
"""An artifact, and a part of the monitoring agent's draft: the schema of a draft enters digests that are stored."""


@pytest.fixture(scope="module")
def places(root: Path) -> dict[str, list[str]]:
    """Modules that define a public class, by the class's name."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in _modules(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(root).as_posix())
    return places


def test_a_public_class_name_means_one_thing(places: dict[str, list[str]]) -> None:
    """Mutation tried: a second class `Run` in flows."""
    assert len(places) > 300
    shared = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in shared.items() if name not in NOT_UNIQUE} == {}


def test_words_that_were_given_up_stay_away(root: Path) -> None:
    """Mutation tried: the word for a wake-up of old in a comment."""
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in _modules(root)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNED.search(line)
    ]
    assert found == []


def test_a_docstring_begins_with_what_it_names(root: Path) -> None:
    """Mutation tried: a docstring that begins with Whether."""
    found: list[str] = []
    for path in _modules(root, ROOTS):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = getattr(node, "name", path.stem)
                first = re.match(r"\w+", ast.get_docstring(node) or "")
                if first and first[0] in OPENERS and name not in SENT_TO_MODELS:
                    found.append(f"{path.relative_to(root)}: {name}: {first[0]} …")
    assert found == []


def test_a_local_is_named_by_what_it_holds(root: Path) -> None:
    """Mutation tried: a loop variable, a parameter and a lambda's parameter of such a name in the ledger."""
    vague = [
        f"{path.relative_to(root)}: {name}"
        for path in _modules(root)
        for name in _locals(ast.parse(path.read_text()))
        if name in VAGUE
    ]
    assert vague == []


def _locals(module: ast.Module) -> Iterator[str | None]:
    """Names that functions and comprehensions bind."""
    for scope in ast.walk(module):
        for node in ast.walk(scope) if isinstance(scope, SCOPES) else ():
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.MatchAs(name=name):
                    yield name
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if node is not scope:
                    yield name
                case _:
                    pass


def _modules(root: Path, folders: Iterable[str] = FLOORS) -> list[Path]:
    return [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
