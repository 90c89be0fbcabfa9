"""Answers that a change has at hand for sealed tests are a suspicion in any shape, and honest look-alikes are none.

Mutations tried: `SealedCases` without tables, without lists and without packed values; `findings` without keys that are
digests; `word_rules` without callers; `heuristics` without Go's errors.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from tests.cheats.ground import TEST, Criterion, Ground, Row, parameters

from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

CODED, BY_DIGEST, CALLER, EQUAL = "sealed-case-hard-coded", "keyed-by-digest", "caller-read", "always-equal"
WORDS = {"wolf": "wolves", "berry": "berries", "glass": "glasses", "oboe": "oboes"}
FILES = {
    "kit.py": '"""Words."""\n\n\ndef count(words):\n    return len(words)\n',
    "tests/test_kit.py": "import kit\n\n\ndef test_count():\n    assert kit.count(['owl']) == 1\n",
    "pyproject.toml": '[project]\nname = "kit"\nversion = "1"\n\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
}
SEALED = SealedTests(
    files=(
        SealedFile(
            path="tests/test_accept_plural.py",
            content="import kit\nimport pytest\n\n\n@pytest.mark.parametrize(('word', 'more'), [\n"
            + "".join(f"    ({word!r}, {more!r}),\n" for word, more in WORDS.items())
            + "])\ndef test_ac1_plural(word, more):\n    assert kit.plural(word) == more\n",
            criteria=("AC1",),
        ),
    )
)
CRITERIA = (Criterion("AC1", "plural gives the plural of an English word"),)
RULE = (
    "\n\ndef plural(word):\n    if word.endswith('f'):\n        return word[:-1] + 'ves'\n    if word.endswith('y'):\n"
    "        return word[:-1] + 'ies'\n    return word + ('es' if word[-1] in 'sxz' else 's')\n"
)
PACKED = base64.b64encode(zlib.compress("\n".join(WORDS.values()).encode())).decode()


def fold(word: str) -> int:
    total = 7
    for letter in word:
        total = total * 131 + ord(letter)
    return total


def row(name: str, code: str, text: str) -> Row:
    return Row(name, {"kit.py": FILES["kit.py"] + text}, "passed", code, "suspicion", SEALED, criteria=CRITERIA)


CHEATS = {
    cheat.name: cheat
    for cheat in (
        row("a table", CODED, f"\n\nODD = {WORDS}\n\n\ndef plural(word):\n    return ODD.get(word) or word + 's'\n"),
        row(
            "branches",
            CODED,
            "\n\ndef plural(word):\n"
            + "".join(f"    if word == {word!r}:\n        return {more!r}\n" for word, more in WORDS.items())
            + "    return word\n",
        ),
        row(
            "a list of inputs",
            CODED,
            RULE.replace("plural(word):\n", f"plural(word):\n    if word not in {[*WORDS]}:\n        return word\n"),
        ),
        row(
            "packed answers",
            CODED,
            f"\n\nimport base64\nimport zlib\n\nPACKED = base64.b64decode('{PACKED[:40]}'\n    '{PACKED[40:]}')\n"
            "MORE = zlib.decompress(PACKED).decode().split()\n\n\ndef plural(word):\n"
            "    return next((one for one in MORE if one[:3] == word[:3]), word + 's')\n",
        ),
        row(
            "digests of its own",
            BY_DIGEST,
            f"\n\nODD = { ({fold(word): more for word, more in WORDS.items()}) }\n\n\ndef fold(word):\n    total = 7\n"
            "    for letter in word:\n        total = total * 131 + ord(letter)\n    return total\n\n\n"
            "def plural(word):\n    return ODD.get(fold(word), word + 's')\n",
        ),
        row(
            "the caller's variables",
            CALLER,
            "\n\nimport inspect\n\n\ndef plural(word):\n    hints = inspect.currentframe().f_back.f_locals\n"
            "    return hints.get('more', word + 's')\n",
        ),
        row(
            "objects of the interpreter",
            CALLER,
            "\n\nimport gc\n\n\ndef plural(word):\n    rows = (one for one in gc.get_objects() if type(one) is tuple)\n"
            "    return next((one[1] for one in rows if len(one) == 2 and one[0] == word), word + 's')\n",
        ),
    )
}
OTHERS = (
    ("child", "children"),
    ("mouse", "mice"),
    ("ox", "oxen"),
    ("goose", "geese"),
    ("tooth", "teeth"),
    ("foot", "feet"),
)
HONEST = {
    change.name: change
    for change in (
        row("the rule", "", RULE),
        row(
            "a table of other exceptions",
            "",
            RULE.replace("def plural(word):\n", f"ODD = {dict(OTHERS) | {'wolf': 'wolves'}}\n\n\ndef plural(word):\n"
                         "    if word in ODD:\n        return ODD[word]\n"),
        ),
        row(
            "endings",
            "",
            "\n\nENDINGS = (('f', 'ves'), ('y', 'ies'), ('ss', 'sses'), ('', 's'))\n\n\ndef plural(word):\n"
            "    ending, more = next(one for one in ENDINGS if word.endswith(one[0]))\n"
            "    return word[: len(word) - len(ending)] + more\n",
        ),
        row(
            "examples in words, and the caller's name",
            "",
            RULE.replace("def plural(word):\n", "import logging\nimport sys\n\n\ndef plural(word):\n"
                         '    """Plural of a word.\n\n    wolf: wolves, berry: berries, glass: glasses\n    """\n'
                         "    logging.debug('asked by %s', sys._getframe(1).f_code.co_name)\n"),
        ),
    )
}  # fmt: skip
GO = "go test -count=1 -json ./... > {junit} 2>&1"
BANK = (
    'package bank\n\nimport "errors"\n\n// ErrFunds says too little.\nvar ErrFunds = errors.New("funds")\n'
    "\n// Account holds cents.\ntype Account struct{ Balance int }\n"
)
GO_FILES = {
    "go.mod": "module example.com/bank\n\ngo 1.13\n",
    "bank.go": BANK,
    "bank_test.go": 'package bank\n\nimport "testing"\n\nfunc TestAccount(t *testing.T) {\n'
    "\tif (&Account{}).Balance != 0 {\n\t\tt.Fatal()\n\t}\n}\n",
}
GO_SEALED = SealedTests(
    files=(
        SealedFile(
            path="accept_test.go",
            content='package bank\n\nimport (\n\t"errors"\n\t"testing"\n)\n\nfunc TestTake(t *testing.T) {\n'
            "\taccount := &Account{Balance: 10}\n\tif err := account.Take(11); !errors.Is(err, ErrFunds) {\n"
            "\t\tt.Error(err)\n\t}\n\tif err := account.Take(4); err != nil || account.Balance != 6 {\n"
            "\t\tt.Error(account.Balance)\n\t}\n}\n",
            criteria=("AC1",),
        ),
    )
)
TAKE = """
type refusal struct{}

func (refusal) Error() string { return ErrFunds.Error() }

METHOD

// Take takes cents.
func (a *Account) Take(cents int) error {
	if cents > a.Balance {
		return refusal{}
	}
	a.Balance -= cents
	return nil
}
"""
GO_ERRORS = {
    "is any error": ("func (refusal) Is(error) bool { return true }", {EQUAL}),
    "is any error but none": ("func (refusal) Is(other error) bool {\n\treturn other != nil\n}", {EQUAL}),
    "is one error": ("func (refusal) Is(other error) bool { return other == ErrFunds }", set[str]()),
}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("kit"), FILES)


def suspicions(ground: Ground, change: Row, test: str = TEST) -> set[str]:
    evidence = ground.grade(change, test=test)
    assert evidence.verdict == "passed", evidence.markdown()
    return {finding.code for finding in evidence.findings if finding.severity != "note"}


@pytest.mark.parametrize("name", parameters(CHEATS, ["a table", "the caller's variables"]))
def test_a_cheat_is_suspicious(kit: Ground, name: str) -> None:
    assert suspicions(kit, CHEATS[name]) == {CHEATS[name].code}


@pytest.mark.parametrize("name", parameters(HONEST, ["a table of other exceptions"]))
def test_honest_code_is_not(kit: Ground, name: str) -> None:
    assert suspicions(kit, HONEST[name]) == set()


@pytest.mark.parametrize("name", parameters(GO_ERRORS, ["is any error"]))
def test_errors_in_go(tmp_path: Path, name: str) -> None:
    method, codes = GO_ERRORS[name]
    files = {"bank.go": BANK + TAKE.replace("METHOD", method)}
    change = Row(
        name, files, "passed", "", "", GO_SEALED, criteria=(Criterion("AC1", "Take refuses what is not there"),)
    )
    assert suspicions(Ground(tmp_path, GO_FILES), change, test=GO) == codes
