"""YAML of others: its documents with the line of each key, or `DocumentUnreadable`.

The parser's events are put together here, not by PyYAML: its loaders unfold aliases without a bound, recurse as deep as
a text nests, and let errors of `int` and of tables out. Values are those of JSON; only text is a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import yaml

from phasegate.infra.documents.bounds import DocumentBounds, unreadable
from phasegate.infra.documents.text import lone_surrogate, mend_text
from phasegate.infra.errors import DocumentUnreadable

Schema: TypeAlias = Literal["text", "json", "yaml-1.1"]
"""Reading of plain scalars. `text`: all as text, and no aliases. `json`: `on`, `no` and dates as text. `yaml-1.1`:
`on` and `no` as booleans, and numbers as text where they are keys, as Kubernetes does."""
Place: TypeAlias = tuple[str | int, ...]

# libyaml's parser where PyYAML was built with it: twenty times as fast, with the same events
_PARSER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PYTHONS_PARSER: Any = yaml.BaseLoader
"""For texts that spell a character as a surrogate pair, as JSON's writers do: libyaml refuses it."""
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_DEFAULT = DocumentBounds()
_TAGS = "tag:yaml.org,2002:"
_KNOWN = {f"{_TAGS}{name}" for name in ("null", "bool", "int", "float", "merge")}
_JSON_BOOL = re.compile(r"true|false")
_PLACE = re.compile(r"position (\d+)")


@dataclass(frozen=True)
class YamlDocument:
    """A document of a YAML text.

    Attributes:
        value: The value, as of JSON.
        line: The line of its first value, from 1.
        lines: Place of a key or an item to its line; below an alias there are none.
    """

    value: object
    line: int
    lines: dict[Place, int] = field(default_factory=dict[Place, int])


def read_yaml(
    text: str, source: str, *, schema: Schema, bounds: DocumentBounds = _DEFAULT, first_line: int = 1
) -> YamlDocument | None:
    """Read a text of one document.

    Args:
        text: The YAML.
        source: Name of the document in messages.
        schema: How plain scalars are read.
        bounds: Bounds within which it is read.
        first_line: The text's first line in the file it stands in.

    Returns:
        The document; `None` if there is none.

    Raises:
        DocumentUnreadable: It is not YAML, not one document, gives a key twice, or is past a bound.
    """
    documents = read_yaml_documents(text, source, schema=schema, bounds=bounds, first_line=first_line)
    document = next(documents, None)
    if document is not None and (second := next(documents, None)) is not None:
        raise unreadable(source, "a second document begins", second.line)
    return document


def read_yaml_documents(
    text: str, source: str, *, schema: Schema, bounds: DocumentBounds = _DEFAULT, first_line: int = 1
) -> Iterator[YamlDocument]:
    """Read a text of several documents; as `read_yaml`.

    Raises:
        DocumentUnreadable: One is not YAML, gives a key twice, or is past a bound.
    """
    bounds.require_size(text, source)
    text = text.removeprefix("\ufeff")
    try:
        yield from _Composer(mend_text(text), source, schema, bounds, first_line).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line, text.count("\n")) + first_line if mark else None  # the end of a text is on its last line
        raise unreadable(source, error.problem or "it is no YAML", line) from error
    except yaml.YAMLError as error:  # a character that YAML does not have
        position = _PLACE.search(str(error))
        line = None if position is None else text.count("\n", 0, int(position[1])) + first_line
        raise unreadable(source, str(error).partition("\n")[0], line) from error


@dataclass(frozen=True)
class _Anchored:
    value: object
    values: int


class _Composer:
    def __init__(self, text: str, source: str, schema: Schema, bounds: DocumentBounds, first_line: int) -> None:
        parser = _PYTHONS_PARSER if _SURROGATE_ESCAPE.search(text) else _PARSER
        self._events: Iterator[Any] = yaml.parse(text, Loader=parser)
        self._source, self._bounds, self._first_line = source, bounds, first_line
        self._schema: Schema = schema
        self._anchors: dict[str, _Anchored | None] = {}
        self._lines: dict[Place, int] = {}
        self._values = 0

    def documents(self) -> Iterator[YamlDocument]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._lines = {}, {}
                first = next(self._events)
                value = self._value(first, (), 1)
                yield YamlDocument(value, self._line(first), self._lines)

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._first_line

    def _bad(self, event: Any, place: Place, reason: str) -> DocumentUnreadable:
        return unreadable(self._source, reason, self._line(event), spelled_place(place))

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > self._bounds.values:
            raise self._bounds.too_many(self._source, self._line(event))

    def _value(self, event: Any, place: Place, depth: int) -> object:
        self._lines.setdefault(place, self._line(event))
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(event, place)
        before = self._values
        self._count(event, 1)
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, place)
        else:
            if depth > self._bounds.depth:
                raise self._bounds.too_deep(self._source, self._line(event))
            if event.tag not in {None, "!", f"{_TAGS}map", f"{_TAGS}seq"} and self._schema != "text":
                raise self._bad(event, place, f"the tag {_short(event.tag)} is of no JSON value")
            is_table = isinstance(event, yaml.MappingStartEvent)
            value = self._table(place, depth) if is_table else self._list(place, depth)
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, self._values - before)
        return value

    def _repeated(self, event: Any, place: Place) -> object:
        if self._schema == "text":
            raise self._bad(event, place, "aliases (`*name`) are not read here")
        if event.anchor not in self._anchors:
            raise self._bad(event, place, f"the alias *{event.anchor} names nothing before it")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise self._bad(event, place, "it holds itself")
        self._count(event, anchored.values)
        return anchored.value

    def _list(self, place: Place, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*place, len(items)), depth + 1))
        return items

    def _table(self, place: Place, depth: int) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, place)
            below = (*place, "<<" if key is None else key)
            if key in own:
                raise self._bad(event, below, "this key is given twice")
            self._lines[below] = self._line(event)
            value = self._value(next(self._events), below, depth + 1)
            if key is None:
                merged = self._merged(event, below, value) | merged
            else:
                own[key] = value
        return merged | own

    def _key(self, event: Any, place: Place) -> str | None:
        """The key, or `None` for one that merges another table in."""
        value: object = None
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 1)
            if self._schema != "text" and event.tag is None and event.implicit[0] and event.value == "<<":
                return None
            if self._schema == "yaml-1.1" and _is_date(event):
                raise self._bad(event, place, f"the key {_short(event.value)} is a date: a key must be text (quote it)")
            value = self._scalar(event, place)
            if self._schema == "yaml-1.1" and isinstance(value, int) and not isinstance(value, bool):
                value = event.value  # as Kubernetes spells it
            if event.anchor is not None and isinstance(value, str):
                self._anchors[event.anchor] = _Anchored(value, 1)
        elif isinstance(event, yaml.AliasEvent):
            value = self._repeated(event, place)
        if not isinstance(value, str):
            raise self._bad(event, place, "a key must be text (quote it)")
        return value

    def _merged(self, event: Any, place: Place, value: object) -> dict[str, object]:
        tables = cast("list[object]", value) if isinstance(value, list) else [value]
        merged: dict[str, object] = {}
        for table in reversed(tables):
            if not isinstance(table, dict):
                raise self._bad(event, place, "only tables can be merged in")
            merged |= cast("dict[str, object]", table)
        return merged

    def _scalar(self, event: Any, place: Place) -> object:
        text = mend_text(event.value)
        if self._schema == "text":
            return text
        if lone_surrogate(event.value) is not None:
            raise self._bad(event, place, "it holds half of a character (a lone surrogate)")
        if event.tag in {"!", f"{_TAGS}str"} or (event.tag is None and not event.implicit[0]):
            return text
        tag = _tag_of(text, self._schema)
        if event.tag is not None and event.tag != tag and (event.tag, tag) != (f"{_TAGS}float", f"{_TAGS}int"):
            known = event.tag in _KNOWN
            reason = f"is of no JSON value{'' if not known else f' here: it does not fit {_short(text)!r}'}"
            raise self._bad(event, place, f"the tag {_short(event.tag)} {reason}")
        return self._plain(event, place, event.tag or tag, text)

    def _plain(self, event: Any, place: Place, tag: str, text: str) -> object:
        match tag.removeprefix(_TAGS):
            case "null":
                return None
            case "bool":
                return text.lower() in {"true", "yes", "on"}
            case "int" | "float" as kind:
                if len(text) > self._bounds.digits:
                    raise self._bounds.too_long_a_number(self._source, self._line(event))
                number = _number(kind, text)
                if number is None:
                    raise self._bad(event, place, f"{_short(text)} is no number of JSON (infinity or not-a-number)")
                return number
            case _:
                return text


def spelled_place(place: Place) -> str:
    """A place as a person writes it: `stages.prd[1].finish`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _tag_of(text: str, schema: Schema) -> str:
    """The tag of a plain scalar."""
    resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = cast(
        "Any", yaml.SafeLoader.yaml_implicit_resolvers
    )
    for tag, pattern in resolvers.get(text[:1], []):
        if tag in _KNOWN and pattern.match(text) and not (tag.endswith("bool") and schema == "json"):
            return tag
    return f"{_TAGS}bool" if schema == "json" and _JSON_BOOL.fullmatch(text) else f"{_TAGS}str"


def _number(kind: str, text: str) -> int | float | None:
    """A finite number of YAML 1.1; `None` if it is none, as `_` alone."""
    constructor = yaml.constructor.SafeConstructor()
    node = yaml.ScalarNode(f"{_TAGS}{kind}", text)
    construct: Any = constructor.construct_yaml_int if kind == "int" else constructor.construct_yaml_float
    try:
        number: int | float = construct(node)
    except (ValueError, IndexError, OverflowError):
        return None
    return number if kind == "int" or math.isfinite(number) else None


def _is_date(event: Any) -> bool:
    if event.tag is not None or not event.implicit[0]:
        return False
    resolvers: Any = yaml.SafeLoader.yaml_implicit_resolvers
    return any(
        tag.endswith("timestamp") and pattern.match(event.value) for tag, pattern in resolvers.get(event.value[:1], [])
    )


def _short(text: str) -> str:
    plain = text.removeprefix(_TAGS)
    name = f"!!{plain}" if plain != text else text
    return name if len(name) <= 60 else f"{name[:59]}…"
