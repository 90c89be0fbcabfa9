"""Literals that JavaScript's tests expect, made wrong: simple ones, and what is in lists and objects."""

from __future__ import annotations

import re

import pytest

from phasegate.infra.grading.integrity.literal_counter_tests import literal_counter_tests

ASSERT, AVA, CHAI = "import assert from 'node:assert'", "import test from 'ava'", "import { expect } from 'chai'"


@pytest.mark.parametrize(
    ("needs", "statement", "expected"),
    [
        (ASSERT, "assert.equal(shout('ab'), 'AB!')", r"assert\.equal\(shout\('ab'\), 'AB![a-z]{8}'\);"),
        (ASSERT, "assert.deepEqual(all(1), [1, 2])", r"assert\.deepEqual\(all\(1\), \[1, 2, '[a-z]{8}'\]\);"),
        (ASSERT, "assert.deepEqual(all(), [])", r"assert\.deepEqual\(all\(\), \['[a-z]{8}'\]\);"),
        (ASSERT, "assert.deepStrictEqual(of(1), { a: 'x', })", r".*, \{a: 'x', [a-z]{8}: 1\}\);"),
        (AVA, "t.deepEqual(of(1), {})", r"t\.deepEqual\(of\(1\), \{[a-z]{8}: 1\}\);"),
        (CHAI, "expect(of(1)).to.equal(3)", r"expect\(of\(1\)\)\.to\.equal\((?!3\))\d+\);"),
        (CHAI, "expect(of(1)).to.deep.equal({ a: 1 })", r".*\.to\.deep\.equal\(\{a: 1, [a-z]{8}: 1\}\);"),
        (CHAI, "expect(of(1)).toEqual({ a: [1, 2] })", r".*\.toEqual\(\{a: \[1, 2\], [a-z]{8}: 1\}\);"),
    ],
)
def test_an_expectation_made_wrong(needs: str, statement: str, expected: str) -> None:
    make = literal_counter_tests("node")
    assert make
    text, names = make(f"{needs};\n\ntest('AC1 one', (t) => {{\n  {statement};\n}});\n")
    assert names == {"AC1 one"}
    assert re.fullmatch(expected, text.splitlines()[3].strip())


@pytest.mark.parametrize("statement", ["expect(of(1)).toEqual({ a: { b: 1 } })", "expect(of(1)).to.include([1])"])
def test_what_is_not_clear_is_left_alone(statement: str) -> None:
    make = literal_counter_tests("node")
    assert make
    source = f"{CHAI};\n\ntest('AC1 one', (t) => {{\n  {statement};\n}});\n"
    assert make(source) == (source, frozenset())


def test_one_expectation_of_a_test_is_made_wrong() -> None:
    make = literal_counter_tests("node")
    assert make
    lines = ["assert.equal(of(1), 1);", "assert.equal(of(2), 2);"]
    text, _ = make(f"{ASSERT};\n\ntest('AC1 one', () => {{\n  {lines[0]}\n  {lines[1]}\n}});\n")
    assert sum(line in text for line in lines) == 1
