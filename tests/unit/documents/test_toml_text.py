"""TOML within bounds: the table, or an error that names the line."""

from __future__ import annotations

import pytest

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.toml_text import read_toml, toml_table_or_empty
from phasegate.infra.errors import DocumentUnreadable

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "an integer of 5,000 digits": (f"a = 1\nb = {'1' * 5_000}", "line 2: it holds a number of more than 100 digits"),
    "a hexadecimal of 5,000 digits": (f"b = 0x{'f' * 5_000}", "line 1: it holds a number"),
    "a fraction of 5,000 digits": (f"b = 1.{'1' * 5_000}", "line 1: it holds a number"),
    "an integer beyond 64 bits": ("a = [1,\n9223372036854775808]", "line 2: the number 9223372036854775808"),
    "a negative one": ("a = -9223372036854775809", "does not fit"),
    "5,000 dots": (f"\n{'.'.join('a' * 5_000)} = 1", "line 2: it is nested more than 50 deep"),
    "5,000 dots in a header": (f"[{'.'.join('a' * 5_000)}]", "nested more than 50 deep"),
    "5,000 dots with quotes": ('"a"' + '."a"' * 5_000 + " = 1", "nested more than 50 deep"),
    "3,000 arrays": (f"a = {'[' * 3_000}{']' * 3_000}", "line 1: it is nested"),
    "3,000 inline tables": (f"a = {'{a = ' * 3_000}1{'}' * 3_000}", "line 1: it is nested"),
    "100,000 keys": ("\n".join(f"a{n}=1" for n in range(100_000)), "line 20001: it holds more than 20,000 values"),
    "30,000 tables": ("\n".join(f"[a{n}]" for n in range(30_000)), "more than 20,000 values"),
    "2 MB of text": (f"a = '{'x' * 2_000_000}'", "longer than 1,048,576"),
    "no calendar's date": ("a = 1979-13-45", "line 1: it is not TOML"),
    "half of a character": ('a = "\\ud800"', "line 1: it is not TOML"),
    "not UTF-8": (b"a = 1\nb = '\xff'", "line 2: it is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """Mutations tried: without `_require_bounds`; dots that are not counted."""
    content, reason = REFUSED[name]
    with pytest.raises(DocumentUnreadable, match=reason):
        read_toml(content, "a.toml")
    assert toml_table_or_empty(content, "a.toml") == {}


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("a = \"[[[[[[[[\"\nb = '{{{{{{'", {"a": "[[[[[[[[", "b": "{{{{{{"}),
        ('a = """\n[[[[ "" = . \\\\"""', {"a": '[[[[ "" = . \\'}),
        ("a = 1 # [[[[[[[[[[[[[[[[", {"a": 1}),
        ("a.b = 1\na.c = 2", {"a": {"b": 1, "c": 2}}),
        ("a = 0.12345678901234567890", {"a": 0.12345678901234568}),
        ("12345678901234567890 = 1", {"12345678901234567890": 1}),
        ("a = 9223372036854775807", {"a": 2**63 - 1}),
    ],
)
def test_what_is_read(content: str, value: object) -> None:
    """Mutation tried: brackets within strings counted."""
    assert read_toml(content, "a.toml", DocumentBounds(depth=3)) == value
