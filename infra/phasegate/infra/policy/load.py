"""Reads `phasegate.toml`: every problem at once, each with its key and its line.

Called wherever a run's policy is needed, with the bytes of the base commit. It must not know git, or where the
bytes come from.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phasegate.infra.documents.toml_text import read_toml
from phasegate.infra.errors import DocumentUnreadable, PolicyError
from phasegate.infra.policy.key_lines import Path, key_lines
from phasegate.infra.policy.model import Policy

_WANTED = {
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be an array",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "time_delta_type": "must be a duration like 90s, 15m, 4h or 7d",
}


@dataclass(frozen=True)
class _Problem:
    path: Path
    message: str
    line: int | None

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"  {where}{_dotted(self.path)}: {self.message}"


def load_policy(content: bytes, *, source: str) -> Policy:
    """Read a policy file.

    Rules between tables (a start command for a deployment, roles that exist) are checked once every key holds.

    Args:
        content: The file's bytes; empty is the policy with every default.
        source: How to call the file in messages, e.g. `phasegate.toml at 1a2b3c4`.

    Raises:
        PolicyError: The bytes are not UTF-8 or not TOML; or a key is unknown, of the wrong type or against a rule.
            The message has one line per problem, in the file's order.
    """
    text = _decode(content, source)
    try:
        data = read_toml(text, source)
    except DocumentUnreadable as error:
        where = "" if error.line is None else f", line {error.line}"
        message = f"{source}{where}: {error.reason}".replace(f"{where}: it is not TOML", " is not TOML")
        raise PolicyError(message, remedy="Correct that line.", source=source) from error
    try:
        # by way of JSON, where strict still lets an array be a tuple: "5" is no number and 1 is no boolean
        return Policy.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = _problems(error, key_lines(text))
    raise PolicyError(
        "\n".join([f"{source} is invalid:", *map(str, problems)]),
        remedy="Correct it; `phasegate schema` prints every key with its meaning.",
        source=source,
        problems=len(problems),
    )


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{source} is not UTF-8 (line {line})", remedy="Save it as UTF-8.", source=source) from error


def _problems(error: ValidationError, lines: Mapping[Path, int]) -> list[_Problem]:
    problems = [
        _Problem(path, message, _line(path, lines)) for detail in error.errors() for path, message in _messages(detail)
    ]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _messages(detail: ErrorDetails) -> Iterator[tuple[Path, str]]:
    kind, path, context = detail["type"], detail["loc"], detail.get("ctx", {})
    if kind == "contradictions":
        yield from (((*path, *within), message) for within, message in context["problems"])
    elif kind == "extra_forbidden":
        yield path, f"unknown key{_suggestion(path)}"
    elif kind == "missing":
        yield path, "is missing"
    elif kind == "literal_error":
        yield path, f"must be {context['expected']}, found {_shown(detail['input'])}"
    elif kind == "value_error":
        yield path, str(context["error"])
    elif kind in _WANTED:
        yield path, f"{_WANTED[kind]}, found {_shown(detail['input'])}"
    else:
        yield path, f"{detail['msg'].replace('Input should', 'must')}, found {_shown(detail['input'])}"


def _line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of the key, or of the nearest table around a key that is not there."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _suggestion(path: Path) -> str:
    *table, key = path
    siblings = _keys_of(tuple(table))
    if near := difflib.get_close_matches(str(key), siblings, n=1):
        return f"; did you mean {_dotted((*table, near[0]))}?"
    if homes := [name for name in Policy.model_fields if key in _keys_of((name,))]:
        return f"; did you mean {homes[0]}.{key}?"
    return f"; known here: {', '.join(siblings)}"


def _keys_of(table: Path) -> list[str]:
    """The keys the model has for a table; array positions in the path are passed over."""
    model: type[BaseModel] = Policy
    for name in table:
        if isinstance(name, str):
            annotation = model.model_fields[name].annotation
            candidates = [annotation, *get_args(annotation)]
            inner = next(
                (
                    candidate
                    for candidate in candidates
                    if isinstance(candidate, type) and issubclass(candidate, BaseModel)
                ),
                None,
            )
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _dotted(path: Path) -> str:
    """`monitor.metrics[0].count`; empty for the whole file."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
