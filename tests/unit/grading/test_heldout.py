"""Held-out inputs: what is laid in for their import, in each language, and what they tell of an input."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from phasegate.infra.grading.heldout import is_held_out, laid_in, unknown_names
from phasegate.infra.grading.integrity.plain.cases import READS_NAMES
from phasegate.infra.grading.integrity.plain.namespaces import REACHES_ANYWHERE

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
    calls = "test_sizes()\ntest_kinds()\nprint(len(seen))\n"
    calls += "try:\n    test_wrong()\nexcept AssertionError as error:\n    print(error)\n"
    (tmp_path / "run.py").write_text(text + calls)
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["100", "the property test_wrong does not hold for a held-out input"], (
        done.stderr
    )


CALLERS = """\
import asyncio
import sys
import pytest
from heldout import assume, given, integers, lists


def seen(*_):
    frame, told = sys._getframe(1), []
    for _ in range(2):
        told.append((frame.f_code.co_name, frame.f_code.co_filename, *frame.f_globals, *frame.f_locals))
        frame = frame.f_back
    FRAMES.append(told)


FRAMES = []


@given(integers(0, 9), word=lists(integers()))
def test_plain(number, word):
    \'\'\'Says something.\'\'\'
    seen()


class TestIt:
    @given(integers())
    @pytest.mark.slow
    def test_marked(self, number):
        assume(number)
        seen()

    @given(integers())
    async def test_later(self, number):
        await asyncio.sleep(0)
        seen()


@given(lists(integers(1, 9)))
def test_returns(numbers):
    seen()
    return


@given(integers())
def test_fails(number):
    pytest.fail(str(number))


@given(integers())
def test_skips(number):
    pytest.skip('not here')


@given(integers())
def test_fits_nothing(number):
    assume(False)
"""
TRACES = re.compile(r"given|heldout|held.out|assume|integers|Generator|SEED|property|hypothesis|draw", re.IGNORECASE)


def test_code_under_test_sees_an_ordinary_test(tmp_path: Path) -> None:
    text = laid_in("test_x.py", CALLERS, 7)
    lines = (
        "import asyncio, inspect",
        "it = TestIt()",
        "calls = [test_plain, test_returns, lambda: asyncio.run(it.test_later()), it.test_marked]",
        "[call() for call in calls]",
        "print(len(FRAMES), test_plain.__doc__, list(inspect.signature(test_fails).parameters.values())[0].kind)",
        "print(FRAMES)",
        "for call in (test_fails, test_skips, test_fits_nothing):",
        "    try:",
        "        call()",
        "    except BaseException as error:",
        "        print(type(error).__name__, error, error.__context__)",
    )
    (tmp_path / "run.py").write_text(text + "\n".join(lines) + "\n")
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    count, frames, *ends = done.stdout.splitlines()
    assert count == "400 Says something. KEYWORD_ONLY", done.stderr
    assert not TRACES.search(frames)
    assert frames.count("test_plain") > 100
    assert ends == [
        "AssertionError the property test_fails does not hold for a held-out input None",
        "Skipped not here None",
        "AssertionError the property test_fits_nothing was tried with no input: none fits None",
    ]


OTHER_PLACES = """\
import unittest
try:
    from heldout import given, integers as whole
    from heldout import given as always
except ImportError:
    raise

text = []


@given(examples=5)
def test_nothing():
    text.append(0)


class CaseTest(unittest.TestCase):
    def test_inner(self):
        from heldout import text
        assert text().filter(bool)

    @given(whole(0, 3), examples=7)
    def test_method(self, number):
        text.append(number)
        self.assertLessEqual(number, 3)

    @staticmethod
    @always(number=whole(0, 3))
    def test_static(number):
        text.append(number)
"""


def test_python_in_other_places(tmp_path: Path) -> None:
    text = laid_in("test_x.py", OTHER_PLACES, 7)
    (tmp_path / "run.py").write_text(
        f"{text}test_nothing()\nprint(len(text))\nunittest.main(exit=False)\nprint(len(text))\n"
    )
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["5", "112"], done.stderr
    assert "OK" in done.stderr


def test_names_are_left_to_no_property_in_a_plain_process() -> None:
    text = laid_in("tests/test_x.py", PYTHON, 7)
    assert not READS_NAMES.search(text)
    assert not REACHES_ANYWHERE.search(text)
    assert not re.search(r"__filename|__dirname|import\.meta|\.stack\b|\.name\b", laid_in("x.test.js", NODE, 7))


def test_node_sees_an_ordinary_test(tmp_path: Path) -> None:
    source = (
        "const { given, integers } = require('heldout');\nconst seen = () => console.log(new Error('').stack);\n"
        "given(integers(), (number) => { seen(); })();\n"
    )
    (tmp_path / "run.js").write_text(laid_in("x.test.js", source, 7))
    done = subprocess.run(["node", "run.js"], cwd=tmp_path, capture_output=True, text=True, check=True)
    frames = set(re.findall(r"at .*?(run\.js:\d+|node:\S+)", done.stdout))
    assert frames == {"run.js:2", "run.js:3"}


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
