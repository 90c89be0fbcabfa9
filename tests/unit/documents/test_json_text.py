"""JSON within bounds: the value, or an error that names the line."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.json_text import read_json, read_json_table, read_stored_json
from phasegate.infra.errors import ConfigError, DocumentUnreadable

SMALL = DocumentBounds(size=1_000, depth=5, values=50, digits=10)

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "half of a string": ('{\n"a": "b', "line 2: it is not JSON"),
    "100,000 lists": ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
    "100,000 open tables": ('{"a":' * 100_000, "nested more than 100 deep"),
    "an integer of 5,000 digits": ("1" * 5_000, "number of more than 400 digits"),
    "a fraction of 5,000 digits": (f"0.{'1' * 5_000}", "number of more than 400 digits"),
    "a number that is infinite": ("[1e400]", "too large"),
    "NaN": ('{"a": NaN}', "NaN is not JSON"),
    "too many values": (f"[{'1,' * 600_000}1]", "more than 500,000 values"),
    "not UTF-8": (b'{"a": 1,\n"b": "\xff"}', "line 2: it is not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a raw control character": ('"\0"', "not JSON"),
    "nothing": ("", "not JSON"),
    "a million quotes": ('"\\"' * 500_000, "not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """Mutation tried: without `_require_bounds`, the depth is an error of the parser's."""
    content, reason = REFUSED[name]
    with pytest.raises(DocumentUnreadable, match=reason) as caught:
        read_json(content, "a.json")
    assert caught.value.message.startswith("a.json")
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('{"a": "\\ud800", "\\udfff": 1}', {"a": "\ufffd", "\ufffd": 1}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\ud83d\ude00"', "\U0001f600"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('["[[[[[[[[", "{{{{{{{{", "\\"[[[[[[["]', ["[[[[[[[[", "{{{{{{{{", '"[[[[[[[']),
        ("[[],[],[],[],[],[],[]]", [[], [], [], [], [], [], []]),
        ("[[[[[1]]]]]", [[[[[1]]]]]),
    ],
)
def test_what_is_read(content: str | bytes, value: object) -> None:
    """Mutation tried: brackets within strings counted."""
    assert read_json(content, "a.json", SMALL) == value


def test_a_value_is_read_however_full_the_stack_is() -> None:
    """Mutation tried: without the handler of `RecursionError`."""

    def below(levels: int) -> object:
        return read_json("[" * 60 + "]" * 60, "a.json") if levels == 0 else below(levels - 1)

    assert read_json("[" * 60 + "]" * 60, "a.json")
    with pytest.raises(DocumentUnreadable, match="nested"):
        below(sys.getrecursionlimit() - len(_frames()) - 30)


def _frames() -> list[object]:
    frame: FrameType | None = sys._getframe()
    frames: list[object] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def test_an_object_is_wanted() -> None:
    with pytest.raises(DocumentUnreadable, match="no JSON object"):
        read_json_table("[1]", "a.json")


def test_what_phasegate_stored_may_be_larger() -> None:
    deep = "[" * 300 + "]" * 300
    assert read_stored_json(deep)
    with pytest.raises(DocumentUnreadable):
        read_json(deep, "a.json")
