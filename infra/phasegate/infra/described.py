"""Models whose JSON Schema describes each field by the docstring that stands below it.

Pydantic's own option reads the source when a class is made, at each start of a command. This reads it when a schema is
asked for.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override


class DescribedModel(BaseModel):
    """Base of models with attribute docstrings."""

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties: dict[str, Any] = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.model_fields.items():
            owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
            if text := attribute_docstrings(owner).get(name):
                properties[field.alias or name].setdefault("description", text)
        return schema


@cache
def attribute_docstrings(cls: type) -> dict[str, str]:
    """Attribute name to the docstring below it, as the source of the class itself has them."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef), cls  # noqa: S101  it is the source of a class
    docstrings: dict[str, str] = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docstrings[name] = inspect.cleandoc(text)
            case _:
                pass
    return docstrings
