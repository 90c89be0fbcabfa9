"""YAML within bounds: JSON's values with their lines, or an error that names line and key."""

from __future__ import annotations

import pytest

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.yaml_text import Schema, read_yaml, read_yaml_documents
from phasegate.infra.errors import DocumentUnreadable

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '*a'] * 10)}]\n" for n in range(9)
)
REFUSED = {
    "an empty integer": ("a: 1\nb: !!int ''", "line 2, b: the tag !!int"),
    "a boolean that is none": ("b: !!bool x", "line 1, b: the tag !!bool"),
    "an integer of an underscore": ("b: !!int _", "line 1, b: the tag !!int"),
    "a float of words": ("b: !!float x", "the tag !!float"),
    "a hexadecimal of nothing": ("b: 0x_", "b: 0x_ is no number"),
    "bytes": ("- !!binary aGk=", r"\[0\]: the tag !!binary"),
    "a date by its tag": ("a: !!timestamp 2026-01-01", "the tag !!timestamp"),
    "a set": ("a: !!set {x}", "the tag !!set"),
    "an object of Python's": ("a: !!python/object/apply:os.getcwd []", "the tag !!python"),
    "aliases that unfold": (BOMB, "more than 500,000 values"),
    "itself": ("a: &a\n  b: *a", "line 2, a.b: it holds itself"),
    "nobody's alias": ("a: *b", "names nothing"),
    "1,000 lists": ("[" * 1_000, "nested more than 100 deep"),
    "5,000 dashes": ("- " * 5_000, "nested more than 100 deep"),
    "an integer of 5,000 digits": (f"a: 1\nb: {'9' * 5_000}", "line 2: it holds a number of more than 400 digits"),
    "infinity": ("a: .inf", "a: .inf is no number of JSON"),
    "half of a character": ('a: 1\nb: "\\ud800"', "line 2, b: it holds half of a character"),
    "half of a character as a key": ('"\\udead": 1', "half of a character"),
    "a list as a key": ("? [a]\n: b", "line 1: a key must be text"),
    "a number as a key": ("1: a", "a key must be text"),
    "a key twice": ("a: 1\nb: {c: 1, c: 2}", "line 2, b.c: this key is given twice"),
    "NUL": ("a: 1\nb: \0", "line 2"),
    "another YAML": ("%YAML 2.0\n---\na: 1", "incompatible"),
    "two documents": ("a: 1\n---\nb: 2", "line 3: a second document"),
    "a word merged in": ("a: 1\n<<: 1", "line 2, <<: only tables"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """Mutations tried: aliases that are not counted; `_number` without its handler."""
    content, reason = REFUSED[name]
    with pytest.raises(DocumentUnreadable, match=reason):
        read_yaml(content, "a.yaml", schema="json")


@pytest.mark.parametrize(
    ("schema", "content", "value"),
    [
        (
            "json",
            "a: on\nb: no\nc: true\nd: ~\ne: 2026-01-01",
            {"a": "on", "b": "no", "c": True, "d": None, "e": "2026-01-01"},
        ),
        ("json", "a: 012\nb: 0x1F\nc: 1_000\nd: 1.5\ne: '1'", {"a": 10, "b": 31, "c": 1000, "d": 1.5, "e": "1"}),
        ("json", "a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: *x", {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1}}),
        ("json", 'a: "\\ud83d\\ude00"', {"a": "\U0001f600"}),
        ("json", "!!str 1", "1"),
        ("json", "", None),
        ("yaml-1.1", "a: on\n9000: web\nb: 2026-01-01", {"a": True, "9000": "web", "b": "2026-01-01"}),
        ("text", "a: on\n1: 2026-01-01\nb: ~", {"a": "on", "1": "2026-01-01", "b": "~"}),
        ("text", 'a: "\\ud800"', {"a": "\ufffd"}),
    ],
)
def test_what_is_read(schema: Schema, content: str, value: object) -> None:
    document = read_yaml(content, "a.yaml", schema=schema)
    assert (None if document is None else document.value) == value


@pytest.mark.parametrize("key", ["2026-01-01", "2026-01-01T10:00:00Z", "on", "~", "1.5"])
def test_a_key_that_kubernetes_reads_otherwise_is_refused(key: str) -> None:
    with pytest.raises(DocumentUnreadable, match=r"line 2.*(date|text)"):
        list(read_yaml_documents(f"data:\n  {key}: x\n", "a.yaml", schema="yaml-1.1"))
    assert list(read_yaml_documents(f"data:\n  '{key}': x\n", "a.yaml", schema="yaml-1.1"))


def test_lines_are_those_of_keys_and_items() -> None:
    document = read_yaml("a: 1\nb:\n- c\n- d: 2\n", "a.yaml", schema="json", first_line=10)
    assert document is not None
    assert document.lines == {(): 10, ("a",): 10, ("b",): 11, ("b", 0): 12, ("b", 1): 13, ("b", 1, "d"): 13}


def test_aliases_are_counted_as_often_as_they_are_written() -> None:
    bounds = DocumentBounds(values=9)
    assert read_yaml("[&a [1, 2], *a]", "a.yaml", schema="json", bounds=bounds)
    with pytest.raises(DocumentUnreadable, match="more than 9 values"):
        read_yaml("[&a [1, 2], *a, *a]", "a.yaml", schema="json", bounds=bounds)
