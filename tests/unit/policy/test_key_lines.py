"""Line of each key in a TOML text."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from phasegate.infra.policy.key_lines import Path, key_lines

TEXT = '''\
# a comment with [brackets] and key = "value"
top = 1

[project]                       # 4
"quoted key" = 'lit # eral'     # 5
'single' = "a \\" [b] # c"
dotted.inner . deep = 7
text = """
[not.a.table]
key = 1 \\"""
"""                             # ends on 11
literal = \'\'\'
x = [ { ' \'\'\'
stages = [ "a", # one, ]
  "b", [ "c" ],

  { d = 1, "e.f" = [ 2, 3 ] },  # 17
]
date = 1979-05-27 07:32:00Z
inline = { x = { y = "}" }, z = -1.5e3 }
empty = []
nothing = {}

[a.b."c.d"]                     # 24
[[monitor.metrics]]             # 25
name = "one"
[monitor.metrics.labels]        # 27
x = 1
[[monitor.metrics]]             # 29
name = "two"
[[monitor.metrics.steps]]       # 31
at = 1
[[monitor.metrics.steps]]       # 33
at = 2
'''


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path of a parsed document."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n")], ids=["lf", "crlf", "no end"])
def test_every_key_has_a_line_and_nothing_else_has(text: str):
    assert set(key_lines(text)) == set(paths_of(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("project",), 4),
        (("project", "quoted key"), 5),
        (("project", "single"), 6),
        (("project", "dotted"), 7),
        (("project", "dotted", "inner", "deep"), 7),
        (("project", "text"), 8),
        (("project", "literal"), 12),
        (("project", "stages"), 14),
        (("project", "stages", 0), 14),
        (("project", "stages", 1), 15),
        (("project", "stages", 2, 0), 15),
        (("project", "stages", 3), 17),
        (("project", "stages", 3, "e.f", 1), 17),
        (("project", "date"), 19),
        (("project", "inline", "x", "y"), 20),
        (("project", "inline", "z"), 20),
        (("project", "nothing"), 22),
        (("a",), 24),
        (("a", "b", "c.d"), 24),
        (("monitor",), 25),
        (("monitor", "metrics", 0), 25),
        (("monitor", "metrics", 0, "name"), 26),
        (("monitor", "metrics", 0, "labels"), 27),
        (("monitor", "metrics", 0, "labels", "x"), 28),
        (("monitor", "metrics", 1), 29),
        (("monitor", "metrics", 1, "name"), 30),
        (("monitor", "metrics", 1, "steps", 0), 31),
        (("monitor", "metrics", 1, "steps", 1, "at"), 34),
    ],
)
def test_the_line_of(path: Path, line: int):
    assert key_lines(TEXT)[path] == line


def test_an_empty_text_has_no_keys():
    assert key_lines("\n# nothing\n") == {}
