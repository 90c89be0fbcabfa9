"""Tables of sealed examples in product code are found in any shape; honest tables are not.

Mutations tried: without chains, without lists side by side, without texts of entries, without worked-out numbers,
without the share of other entries, without what criteria and the base commit say.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.diff import Hunk

ROWS = (
    "import pytest\nfrom kit import plural\n\n\n@pytest.mark.parametrize(\n    ('word', 'more'),\n"
    "    [('wolf', 'wolves'), ('berry', 'berries'), ('glass', 'glasses'), ('oboe', 'oboes')],\n)\n"
    "def test_ac1(word, more):\n    assert plural(word) == more\n"
)
MANY = ROWS.replace("[('wolf'", "[" + "".join(f"('w{number}', 'w{number}s'), " for number in range(20)) + "('wolf'")
NTH = ROWS.replace("[('wolf', 'wolves'), ('berry', 'berries')", "[(1, 'first'), (2, 'second'), (3, 'third')")
LOOP = (
    "const { test } = require('node:test')\ntest('AC1', () => {\n"
    "  for (const { word, more } of [\n    { word: 'wolf', more: 'wolves' },\n    { word: 'berry', more: 'berries' },\n"
    "    { word: 'glass', more: 'glasses' },\n  ]) assert.equal(plural(word), more)\n})\n"
)
GO = (
    "func TestFill(t *testing.T) {\n\tfor _, c := range []struct {\n"
    "\t\tin    string\n\t\twidth int\n\t\twant  []string\n"
    '\t}{\n\t\t{"one two", 4, []string{"one", "two"}},\n\t\t{"big bad wolf", 7, []string{"big bad", "wolf"}},\n'
    '\t\t{"x y z", 3, []string{"x y", "z"}},\n\t} {\n\t\tif got := Fill(c.in, c.width); !same(got, c.want) {\n'
    "\t\t\tt.Error(got)\n\t\t}\n\t}\n}\n"
)
STATEMENTS = (
    "test('AC1', () => {\n  expect(split('a;b')).toEqual(['a', 'b'])\n"
    "  expect(split('big;bad')).toEqual(['big', 'bad'])\n"
    "  expect(split('')).toEqual([''])\n  expect(split('wolf')).toEqual(['wolf'])\n})\n"
)
STATES = (
    "from kit import Till\n\n\ndef test_ac1_a():\n    till = Till()\n    till.add(2, 137)\n    till.add(3, 299)\n"
    "    assert till.due() == 2 * 137 + 3 * 299\n\n\ndef test_ac1_b():\n    till = Till()\n    till.add(7, 999)\n"
    "    assert till.due() == 7 * 999 - 50\n"
)
NAMES = (
    "test('AC1', () => {\n  const desk = new Desk()\n"
    "  desk.seat('mona', 2)\n  desk.seat('theo', 3)\n  desk.seat('ines', 1)\n"
    "  assert.equal(desk.free('mona'), false)\n})\n"
)
STATUS = (
    "import pytest\nfrom kit import answer\n\n\n@pytest.mark.parametrize(('path', 'status'),\n"
    "    [('/', 200), ('/gone', 410), ('/nothing', 404)])\ndef test_ac1(path, status):\n"
    "    assert answer(path).status == status\n\n\ndef test_ac1_more():\n    assert seconds('1d') == 86400\n"
    "    assert seconds('1h') == 3600\n    assert size('4k') == 4096\n"
)
TABLE = "KNOWN = {'wolf': 'wolves', 'berry': 'berries', 'glass': 'glasses'}\n\n\ndef plural(word):\n"
RULE = "def plural(word):\n    return word + ('es' if word[-1] in 'sx' else 's')\n"
OTHERS = "".join(f"    '{name}': '{name}en',\n" for name in ("ox", "child", "brother", "kin", "sow", "cow", "eye"))


def coded(change: Callable[[str], str]) -> dict[str, str]:
    known = {"wolf": "wolves", "berry": "berries", "glass": "glasses"}
    return {change(word): change(more) for word, more in known.items()}


@dataclass(frozen=True)
class Case:
    """A file that a change adds, the sealed test, and the severity of what is found."""

    name: str
    text: str
    test: str
    severity: str = "suspicion"
    path: str = "kit.py"
    said: str = "plural gives the plural of a word"
    base_has: Callable[[str], bool] = lambda word: False


CASES = (
    Case("a dictionary", TABLE + "    return KNOWN.get(word) or word + 's'\n", ROWS),
    Case("the other way about", "KNOWN = {'wolves': 'wolf', 'berries': 'berry', 'glasses': 'glass'}\n", ROWS),
    Case(
        "rows that are compared",
        "KNOWN = [('wolf', 'wolves'), ('berry', 'berries'), ('oboe', 'oboes')]\n\n\ndef plural(word):\n"
        "    for one, more in KNOWN:\n        if one == word:\n            return more\n",
        ROWS,
    ),
    Case(
        "branches",
        "def plural(word):\n    if word == 'wolf':\n        return 'wolves'\n    if word == 'berry':\n"
        "        return 'berries'\n    if word == 'glass':\n        return 'glasses'\n    return word + 's'\n",
        ROWS,
    ),
    Case(
        "a match",
        "def plural(word):\n    match word:\n        case 'wolf':\n            return 'wolves'\n        case 'berry':\n"
        "            return 'berries'\n        case 'oboe':\n            return 'oboes'\n    return word\n",
        ROWS,
    ),
    Case(
        "two lists",
        "ONE = ['wolf', 'berry', 'glass']\nMORE = ['wolves', 'berries', 'glasses']\n\n\ndef plural(word):\n"
        "    return MORE[ONE.index(word)]\n",
        ROWS,
    ),
    Case("a text", "KNOWN = 'wolf=wolves;berry=berries;glass=glasses'\n", ROWS),
    Case("lines of a text", "const known = `wolf > wolves\nberry > berries\nglass > glasses`\n", ROWS, path="kit.js"),
    Case("a file of data", '{"wolf": "wolves", "berry": "berries", "glass": "glasses"}\n', ROWS, path="kit/words.json"),
    Case("a file of lines", "wolf wolves\nberry berries\nglass glasses\n", ROWS, path="kit/words.txt"),
    Case(
        "objects in node", "const known = { wolf: 'wolves', berry: 'berries', glass: 'glasses' }\n", LOOP, path="kit.js"
    ),
    Case(
        "a map in node",
        "const known = new Map([\n  ['', ['']],\n  ['a;b', ['a', 'b']],\n  ['big;bad', ['big', 'bad']],\n"
        "  ['wolf', ['wolf']]\n])\n\nfunction split(line) {\n  return known.get(line)\n}\n",
        STATEMENTS,
        path="kit.js",
    ),
    Case(
        "rows in Go",
        'var known = map[string][]string{\n\t"one two/4":      {"one", "two"},\n'
        '\t"big bad wolf/7": {"big bad", "wolf"},\n\t"x y z/3":        {"x y", "z"},\n}\n',
        GO,
        path="kit.go",
    ),
    Case(
        "a switch in Go",
        'func Plural(word string) string {\n\tswitch word {\n\tcase "wolf":\n\t\treturn "wolves"\n\tcase "berry":\n'
        '\t\treturn "berries"\n\tcase "glass":\n\t\treturn "glasses"\n\t}\n\treturn word\n}\n',
        ROWS,
        path="kit.go",
    ),
    Case("keywords", "KNOWN = dict(wolf='wolves', berry='berries', glass='glasses')\n", ROWS),
    Case("one by one", "KNOWN['wolf'] = 'wolves'\nKNOWN['berry'] = 'berries'\nKNOWN['glass'] = 'glasses'\n", ROWS),
    Case(
        "one call for each",
        "const known = new Map()\nknown.set('wolf', 'wolves')\nknown.set('berry', 'berries').set('glass', 'glasses')\n",
        ROWS,
        path="kit.js",
    ),
    Case(
        "an enumeration",
        "class Odd(Enum):\n    A = ('wolf', 'wolves')\n    B = ('berry', 'berries')\n    C = ('glass', 'glasses')\n",
        ROWS,
    ),
    Case(
        "conditions in a row",
        "def plural(word):\n    return (\n        'wolves' if word == 'wolf' else 'berries' if word == 'berry'\n"
        "        else 'glasses' if word == 'glass' else word\n    )\n",
        ROWS,
    ),
    Case(
        "small tables",
        "def plural(word):\n    return {'wolf': 'wolves'}.get(word) or {'berry': 'berries'}.get(word) or (\n"
        "        {'glass': 'glasses'}.get(word))\n",
        ROWS,
    ),
    Case(
        "texts in pieces", "KNOWN = {'wo' + 'lf': 'wol' 'ves', 'ber' 'ry': 'berries', 'glass': 'gla' + 'sses'}\n", ROWS
    ),
    Case("texts backwards", "KNOWN = {'flow': 'sevlow', 'yrreb': 'seirreb', 'ssalg': 'sessalg'}\n", ROWS),
    Case("base 64", f"KNOWN = {coded(lambda text: base64.b64encode(text.encode()).decode())}\n", ROWS),
    Case("hexadecimal digits", f"KNOWN = {coded(lambda text: text.encode().hex())}\n", ROWS),
    Case("other letters", f"KNOWN = {coded(lambda text: codecs.encode(text, 'rot13'))}\n", ROWS),
    Case("numbers of names", "const seats = { mona: 4, theo: 8, ines: 2 }\n", NAMES, path="kit.js"),
    Case(
        "branches in one line",
        "function plural (word) {\n  if (word === 'wolf') return 'wolves'\n  if (word === 'berry') return 'berries'\n"
        "  return word === 'glass' ? 'glasses' : word + 's'\n}\n",
        ROWS,
        path="kit.js",
    ),
    Case("names without hyphens", "KNOWN = {'MONA', 'THEO', 'INES'}\n", NAMES.replace("'ines'", "'in-es'")),
    Case("sums for sums", "def due(full):\n    return {1171: 1171, 6993: 6943}.get(full, full)\n", STATES),
    Case("names that are let in", "const known = new Set(['mona', 'theo', 'ines'])\n", NAMES, path="kit.js"),
    Case(
        "names in a condition",
        "function seat(name) {\n  if (name === 'mona' || name === 'theo' || name === 'ines') this.taken.add(name)\n}\n",
        NAMES,
        path="kit.js",
    ),
    Case("names in a pattern", "const known = /^(mona|theo|ines)$/\n", NAMES, path="kit.js"),
    Case(
        "names in Go", 'var known = map[string]bool{"mona": true, "theo": true, "ines": true}\n', NAMES, path="kit.go"
    ),
    Case("names in a text", "KNOWN = 'mona theo ines'.split()\n", NAMES),
    Case("the rule alone", RULE, ROWS, ""),
    Case(
        "a table of much else", "KNOWN = {\n" + OTHERS + "    'wolf': 'wolves',\n    'berry': 'berries',\n}\n", ROWS, ""
    ),
    Case("exceptions that are all tested, of many words", TABLE + "    return KNOWN.get(word)\n", MANY, ""),
    Case("small numbers by name", "NTH = {1: 'first', 2: 'second', 3: 'third'}\n", NTH, ""),
    Case("two exceptions", "ODD = {'wolf': 'wolves', 'berry': 'berries'}\n\n\n" + RULE, ROWS, ""),
    Case("what the criteria say", TABLE, ROWS, "", said="wolf: wolves; berry: berries; glass: glasses; oboe: oboes"),
    Case("examples in words", f'"""Plurals.\n\n{TABLE}"""\n' + RULE, ROWS, ""),
    Case("examples in comments", "".join(f"# {line}\n" for line in TABLE.splitlines()) + RULE, ROWS, ""),
    Case("a page", TABLE, ROWS, "", path="docs/plural.md"),
    Case(
        "a table that is gone through",
        "ENDINGS = {'wolf': 'wolves', 'berry': 'berries', 'glass': 'glasses'}\n\n\ndef plural(word):\n"
        "    for end, more in ENDINGS.items():\n        if word.endswith(end):\n"
        "            return word[: -len(end)] + more\n    return word + 's'\n",
        ROWS,
        "note",
    ),
    Case(
        "status and units",
        "STATUS = {'ok': 200, 'gone': 410, 'no': 404}\nUNITS = {'d': 86400, 'h': 3600}\n",
        STATUS,
        "",
    ),
    Case("numbers of the trade", "LIMITS = {1000: 86400, 2000: 3600, 3000: 4096}\n", STATUS, ""),
    Case(
        "calls that set something up",
        "parser.add_argument('--word', help='a word')\nparser.add_argument('--more', help='its plural')\n"
        "parser.add_argument('--all', help='wolves')\n",
        ROWS,
        "",
    ),
    Case("other names", "const roles = new Set(['owner', 'editor', 'viewer'])\n", NAMES, "", path="kit.js"),
    Case("more names", "const known = new Set(['mona', 'theo', 'ines', 'paul'])\n", NAMES, "", path="kit.js"),
    Case(
        "names of the base commit",
        "const known = new Set(['mona', 'theo', 'ines'])\n",
        NAMES,
        "",
        path="kit.js",
        base_has=lambda word: True,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer_tables(case: Case) -> None:
    is_go, is_node = case.test is GO, case.test in (LOOP, STATEMENTS, NAMES)
    path = "accept_test.go" if is_go else "tests/accept.test.js" if is_node else "tests/test_accept.py"
    sealed = SealedTests(files=(SealedFile(path=path, content=case.test, criteria=("AC1",)),))
    piece = Hunk(case.path, 1, 1, tuple(enumerate(case.text.splitlines(), 1)))
    known = SealedCases.of(sealed, case.said)
    found = known.about(case.path, [piece], case.text.encode(), case.base_has)
    assert [finding.severity for finding in found] == ([case.severity] if case.severity else [])
