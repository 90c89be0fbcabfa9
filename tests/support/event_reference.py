"""docs/events.md, generated from the types of events: `python -m tests.support.event_reference`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import ModuleType

from phasegate.infra.ledger.events import EventKind, payloads
from phasegate.infra.ledger.events.catalogue import PAYLOADS

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
_HEAD = """# Events of a run

Generated from `infra/phasegate/infra/ledger/events` by `python -m tests.support.event_reference`.

The ledger is the truth about a run, and its events are the links of the run's hash chain: each carries the digests of
the rows that were written with it (`rows`) and the hash of the event before it. `phasegate logs RUN --json` prints
them, with `--follow` as they come; `phasegate export` puts them into the bundle that `phasegate audit` checks.

A fact in *italics* may be absent. Formats only grow: a kind is never renamed, and a new fact may be absent in events
that an earlier version wrote.

"""


def page() -> str:
    """The page as it has to be."""
    meanings, shapes = _docstrings(EventKind), _docstrings(payloads)
    parts = [_HEAD]
    for noun, kinds in groupby(EventKind, key=lambda kind: kind.partition(".")[0]):
        parts.append(f"## {noun}\n\n| kind | meaning | facts |\n| --- | --- | --- |\n")
        parts.extend(f"| `{kind}` | {meanings[kind.name]} | {_facts(PAYLOADS[kind], shapes)} |\n" for kind in kinds)
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def _facts(shape: type, docstrings: Mapping[str, str]) -> str:
    if shape is payloads.Nothing:
        return "none"
    names = ", ".join(
        f"*`{name}`*" if "NotRequired" in str(of) else f"`{name}`" for name, of in shape.__annotations__.items()
    )
    return f"{names}: {docstrings[shape.__name__]}"


def _docstrings(holder: ModuleType | type) -> dict[str, str]:
    """Docstrings of a module's or a class's members: of a class its own, else the text that follows the member."""
    module = ast.parse(inspect.getsource(holder))
    tree = module.body[0] if isinstance(holder, type) else module
    assert isinstance(tree, ast.ClassDef | ast.Module)
    texts = {
        ast.unparse(node.targets[0]): str(ast.literal_eval(following.value))
        for node, following in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.Assign) and isinstance(following, ast.Expr)
    }
    return texts | {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.ClassDef)}


if __name__ == "__main__":
    PAGE.write_text(page())
