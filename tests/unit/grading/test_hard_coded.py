"""Sealed cases in the lines of a change: answers that were looked up, and ordinary tables and examples."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.diff import Hunk

TEST = "def test_weeks():\n    assert said('week') == 'een week'\n    assert said('weeks') == 'weke'\n"
SEALED = SealedTests(files=(SealedFile(path="tests/test_accept.py", content=TEST, criteria=("AC1",)),))
WEEK = "    'week': 'een week',\n"
TABLE = "WORDS = {\n    'now': 'nou',\n    'hour': 'uur',\n    'day': 'een dag',\n" + WEEK + "    'year': 'jaar',\n}\n"
LISTED = "\n".join(f"    {name!r}: {name.upper()!r}," for name in ("now", "hour", "day", "month", "year", "century"))


@dataclass(frozen=True)
class Case:
    """A changed file, the lines of it that are new (all where none is named), and the severity of what is found."""

    name: str
    text: str
    severity: str
    new: frozenset[int] = frozenset()
    path: str = "words.py"


CASES = (
    Case("looks the answer up", "def said(word):\n    return {'week': 'een week'}[word]\n", "suspicion"),
    Case("compares", "def said(word):\n    if word == 'week':\n        return 'een week'\n", "suspicion"),
    Case("a table of nothing but answers", "WORDS = {\n" + WEEK + "    'weeks': 'weke',\n}\n", "suspicion"),
    Case("an entry of a table that is there", TABLE, "note", frozenset({5})),
    Case("a new table of much else", "WORDS = {\n" + LISTED + "\n" + WEEK + "}\n", "note"),
    Case("a table of much else, elsewhere", "WORDS = {\n" + LISTED + "\n}\nMORE = {'week': 'een week'}\n", "suspicion"),
    Case(
        "an example in words",
        'def said(word):\n    """Say it.\n\n    >>> said("week")\n    \'een week\'\n    """\n',
        "",
    ),
    Case("a comment", "# said('week') is 'een week'\n", ""),
    Case("a comment in JavaScript", "/**\n * said('week') === 'een week'\n */\n", "", path="words.js"),
    Case("a switch in JavaScript", "case 'week':\n  return 'een week';\n", "suspicion", path="words.js"),
    Case("Python that does not parse", "def said(word:\n    return {'week': 'een week'}[word]\n", "suspicion"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cases_in_a_change(case: Case) -> None:
    lines = enumerate(case.text.splitlines(), 1)
    piece = Hunk(case.path, 1, 1, tuple(line for line in lines if not case.new or line[0] in case.new))
    found = SealedCases.of(SEALED, "said takes a word").about(case.path, [piece], case.text.encode())
    assert [finding.severity for finding in found] == ([case.severity] if case.severity else [])


LOOKS_UP = "exports.said = (word) => ({ week: 'een week', 12: 4711 })[word];\n"


@dataclass(frozen=True)
class Spelled:
    """A sealed test, and whether its case is found in a change that looks answers up."""

    name: str
    test: str
    path: str = "test/said.test.js"
    is_found: bool = True


SPELLED = (
    Spelled("equal", "assert.equal(said('week'), 'een week');"),
    Spelled("the other way about", 'assert.strictEqual("een week", words.said("week"));'),
    Spelled("expect", "expect(said('week')).toBe('een week');"),
    Spelled("expect in TypeScript", "expect(said(`week`)).toEqual('een week');", "src/said.spec.ts"),
    Spelled("chai", "expect(said('week')).to.equal('een week');"),
    Spelled("tap and AVA", "t.is(said('week'), 'een week', 'weeks');"),
    Spelled("a number", "assert.equal(said(12), 4_711);"),
    Spelled("if in Go", 'if got := Said("week"); got != "een week" {', "said_test.go"),
    Spelled("another answer", "assert.equal(said('week'), 'een weke');", is_found=False),
    Spelled("no answer", "assert.ok(said('week'), message('een week'));", is_found=False),
    Spelled("another language", "assertEquals(said('week'), 'een week');", "SaidTest.java", is_found=False),
)


@pytest.mark.parametrize("case", SPELLED, ids=lambda case: case.name)
def test_cases_of_other_languages(case: Spelled) -> None:
    sealed = SealedTests(files=(SealedFile(path=case.path, content=case.test, criteria=("AC1",)),))
    piece = Hunk("words.js", 1, 1, ((1, LOOKS_UP.rstrip()),))
    found = SealedCases.of(sealed, "said takes a word").about("words.js", [piece], LOOKS_UP.encode())
    assert [finding.severity for finding in found] == ["suspicion"] * case.is_found
