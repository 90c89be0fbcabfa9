"""Held-out inputs: what is laid in for their import, in each language, and what they tell of an input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasegate.infra.grading.heldout import is_held_out, laid_in, unknown_names

GENERATORS = (
    "none, just, sampled_from, booleans, one_of, integers, floats, characters, text, binary, lists, sets, tuples,"
    " dictionaries, dates, datetimes, assume"
)
PYTHON = f"""\
from heldout import (
    given, {GENERATORS}
)

seen = []


@given(integers(-5, 5), text(max_size=3), lists(floats(0, 1)), word=sampled_from(["a", "b"]).map(str.upper))
def test_sizes(number, written, numbers, *, word):
    assume(number != 3)
    seen.append(number)
    assert -5 <= number <= 5 and number != 3 and len(written) <= 3 and word in "AB"
    assert all(0 <= one <= 1 for one in numbers)


@given(one_of(none(), just(2), booleans()), binary(1, 2), sets(integers(0, 9)), tuples(dates(), datetimes()))
def test_kinds(one, data, group, pair):
    assert one in (None, 2, True, False) and 1 <= len(data) <= 2 and isinstance(group, set) and pair[0].year >= 1900


@given(dictionaries(characters(), integers(), min_size=1))
def test_wrong(table):
    secret = sorted(table)
    assert not secret, secret
"""
NODE = f"""\
const assert = require('node:assert');
const {{ given, {GENERATORS} }} = require('heldout');
const sizes = given(integers(-5, 5), text(undefined, 0, 3), lists(floats(0, 1)), (number, written, numbers) => {{
  assume(number !== 3);
  assert.ok(number >= -5 && number <= 5 && number !== 3 && [...written].length <= 3);
  assert.ok(numbers.every((one) => one >= 0 && one <= 1));
}});
const kinds = given(
  one_of(none(), just(2), booleans()), binary(1, 2), sets(integers(0, 9)), tuples(dates(), datetimes()),
  (one, data, group, pair) => {{
    assert.ok([null, 2, true, false].includes(one) && data.length >= 1);
    assert.ok(group instanceof Set && pair[0] instanceof Date);
  }},
);
const wrong = given(dictionaries(characters(), integers(), 1), (table) => assert.deepEqual(table, {{}}));
(async () => {{
  await sizes();
  await kinds();
  try {{ await wrong(); }} catch (error) {{ console.log(error.message); }}
}})();
"""


def test_python(tmp_path: Path) -> None:
    text = laid_in("tests/test_x.py", PYTHON, 7)
    assert is_held_out("tests/test_x.py", PYTHON)
    assert len(text.splitlines()) == len(PYTHON.splitlines())
    calls = "test_sizes()\ntest_kinds()\nprint(len(seen))\n"
    calls += "try:\n    test_wrong()\nexcept AssertionError as error:\n    print(error)\n"
    (tmp_path / "run.py").write_text(text + calls)
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["100", "the property test_wrong does not hold for a held-out input"], (
        done.stderr
    )


def test_node(tmp_path: Path) -> None:
    text = laid_in("test/x.test.js", NODE, 7)
    assert is_held_out("test/x.test.js", NODE)
    assert len(text.splitlines()) == len(NODE.splitlines())
    (tmp_path / "run.js").write_text(text)
    done = subprocess.run(["node", "run.js"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["the property does not hold for a held-out input"], done.stderr


@pytest.mark.parametrize("path", ["a.py", "a.ts"])
def test_each_grade_draws_its_own(path: str) -> None:
    text = "from heldout import given\n" if path.endswith(".py") else "import {given as all} from 'heldout';\n"
    assert laid_in(path, text, 1) != laid_in(path, text, 2)
    assert laid_in(path, text, 1) == laid_in(path, text, 1)
    assert laid_in(path, "x = 1\n", 1) == "x = 1\n"


def test_an_unknown_generator_is_named() -> None:
    told = list(
        unknown_names([("a.py", "from heldout import given, emails\n"), ("b.js", "import {text} from 'heldout'\n")])
    )
    assert len(told) == 1
    assert told[0].startswith("a.py: heldout has no 'emails'; it has assume, binary,")
