"""The parts of the plain process share one namespace, so no name is bound in two of them."""

from __future__ import annotations

import ast
from collections import defaultdict

from phasegate.infra.grading.integrity.plain_python import PlainPython


def test_no_two_parts_bind_one_name() -> None:
    bound = defaultdict[str, set[str]](set)
    for part, text in PlainPython().parts():
        for node in ast.parse(text).body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    bound[name].add(part)
                case ast.Assign() | ast.AnnAssign():
                    stored = (one for one in ast.walk(node) if isinstance(one, ast.Name))
                    for name in {one.id for one in stored if isinstance(one.ctx, ast.Store)}:
                        bound[name].add(part)
                case _:
                    pass
    assert {name: parts for name, parts in bound.items() if len(parts) > 1} == {}
