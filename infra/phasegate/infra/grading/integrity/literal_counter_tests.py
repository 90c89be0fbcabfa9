"""Sealed tests of JavaScript, Java and Rust with the literals they expect made wrong.

Called by `canaries`. A counter-test that honest code passes would be a false accusation, so a test is altered only if
its text leaves no doubt: one statement on a line of its own, at the top level of the test's body, comparing something
with a literal, before any way out of the body. All other tests are left as they are and are not counted.
It must not know what a counter-test's outcome means.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_LONGEST_NUMBER = 300
_STRING = r"\"(?:[^\"\\\n]|\\.)*\""
_NODE_STRING = rf"(?:{_STRING}|'(?:[^'\\\n]|\\.)*')"
_SIMPLE = r"(?P<literal>-?\d{1,8}|true|false|(?P<quote>[\"'])[^\"'\\\n]*(?P=quote))"
_NODE_VALUE = _SIMPLE[:-1] + r"|\[[^\[\]]*\]|\{[^{}]*\})"
"""Literals that JavaScript's assertions compare by what is in them, besides simple ones."""
_WAYS_OUT = re.compile(
    r"\b(?:return|throw|break|continue|yield|done|skip\w*|todo|plan|exit|abort|panic|catch|expect|thrown|assume\w*)\b"
)


@dataclass(frozen=True)
class _Syntax:
    test: re.Pattern[str]
    """The lines that open a test's body, with its name as the group `name`."""
    any_test: re.Pattern[str]
    """Anything else that may open a test, with its name as the group `name`."""
    strings: re.Pattern[str]
    """Texts and comments, which are taken out before a line's structure is looked at."""
    unclear: re.Pattern[str]
    """Left-overs that make a line's structure doubtful."""
    asserts: Sequence[tuple[str, re.Pattern[str]]]
    """Pairs of a text that a file must hold, and the assertion that is known then: `head`, `literal`, `tail`."""
    grouped: bool = False
    """True if a test's name in a report may follow the titles of its groups."""


_JS_BODY = r"(?:async\s*)?(?:\(\w*\)\s*=>|\w+\s*=>|function\s*\w*\(\w*\))\s*\{"
_JS_ASSERT = r"(?:strictEqual|equal|deepEqual|deepStrictEqual)"
_TAP_ASSERT = r"is|equal|strictEqual|deepEqual|deepEquals|same|strictSame"
_EXPECTED = r"toBe|toEqual|toStrictEqual|to\.(?:deep\.)?(?:equal|eql|eq)"
_NODE = _Syntax(
    test=re.compile(rf"^(?P<indent>[ \t]*)(?:test|it)\((?P<q>['\"])(?P<name>[\w ,:-]+)(?P=q),\s*{_JS_BODY}$"),
    any_test=re.compile(r"\b(?:test|it|specify|t\.test)\b[^'\"`\n]*\(\s*(?P<q>['\"`])(?P<name>.*?)(?P=q)"),
    strings=re.compile(rf"{_NODE_STRING}|//[^\n]*"),
    unclear=re.compile(r"[`/'\"]"),
    asserts=(
        (
            r"(?:from|require\()\s*['\"](?:node:)?assert(?:/strict)?['\"]|\bassert\b[^\n]*['\"]chai['\"]",
            re.compile(
                rf"^\s*(?P<head>assert(?:\.strict)?\.{_JS_ASSERT}\((?P<given>.+), ){_NODE_VALUE}(?P<tail>\);?)$"
            ),
        ),
        (
            r"(?:from|require\()\s*['\"](?:ava|tap|tape)['\"]",
            re.compile(rf"^\s*(?P<head>t\.(?:{_TAP_ASSERT})\((?P<given>.+), ){_NODE_VALUE}(?P<tail>\);?)$"),
        ),
        (
            r"\bexpect\(",
            re.compile(rf"^\s*(?P<head>expect\((?P<given>.+)\)\.(?:{_EXPECTED})\(){_NODE_VALUE}(?P<tail>\);?)$"),
        ),
    ),
    grouped=True,
)
_JAVA = _Syntax(
    test=re.compile(
        r"^(?P<indent>[ \t]*)@Test\n[ \t]*(?:public )?void (?P<name>\w+)\(\)(?: throws [\w., ]+)? \{$", re.MULTILINE
    ),
    any_test=re.compile(r"\bvoid (?P<name>\w+)\("),
    strings=re.compile(rf"{_STRING}|'(?:[^'\\\n]|\\.)'|//[^\n]*"),
    unclear=re.compile(r"['\"]|/\*|\*/"),
    asserts=(
        (
            r"import (?:static )?org\.junit\.(?:jupiter\.api\.Assertions|Assert)\b",
            re.compile(
                rf"^\s*(?P<head>(?:Assertions\.|Assert\.)?assertEquals\(){_SIMPLE}(?P<tail>, (?P<given>.+)\);)$"
            ),
        ),
    ),
)
_RUST = _Syntax(
    test=re.compile(r"^(?P<indent>[ \t]*)#\[test\]\n[ \t]*fn (?P<name>\w+)\(\) \{$", re.MULTILINE),
    any_test=re.compile(r"\bfn (?P<name>\w+)"),
    strings=re.compile(rf"{_STRING}|'(?:[^'\\\n]|\\.)'|//[^\n]*"),
    unclear=re.compile(r"['\"?#]|/\*|\*/"),
    asserts=((r"", re.compile(rf"^\s*(?P<head>assert_eq!\((?P<given>.+), ){_SIMPLE}(?P<tail>\);)$")),),
)
_SYNTAX = {"node": _NODE, "java": _JAVA, "rust": _RUST}


def literal_counter_tests(language: str) -> Callable[[str], tuple[str, frozenset[str]]] | None:
    """Choose the function that makes the counter-tests of a file.

    Args:
        language: As `canaries.language` names it.

    Returns:
        A function from a file's text to the altered text and the names of the altered tests, or `None` if the language
        has none.
    """
    syntax = _SYNTAX.get(language)
    return (lambda source: _altered(source, syntax)) if syntax else None


def _altered(source: str, syntax: _Syntax) -> tuple[str, frozenset[str]]:
    known = [pattern for needed, pattern in syntax.asserts if re.search(needed, source)]
    names = [test["name"] for test in syntax.any_test.finditer(source)]
    lines = source.split("\n")
    altered: set[str] = set()
    for opened, name in _openings(source, syntax):
        others = [other for other in names if (name in other if syntax.grouped else name == other)]
        if len(others) != 1 or not _is_plain_file(source):
            continue
        alterations = [
            (at, wrong)
            for at in _statements(lines, opened, syntax)
            if (wrong := next((line for pattern in known if (line := _wrong(lines[at], pattern, syntax))), None))
        ]
        if alterations:  # one of them: the others, which are as they were, hide nothing that agrees with anything
            at, wrong = secrets.choice(alterations)
            lines[at] = wrong
            altered.add(name)
    return "\n".join(lines), frozenset(altered)


def _is_plain_file(source: str) -> bool:
    """Tell if nothing in a file changes what an assertion or a failing test means."""
    redefined = r"\b(?:function|class|fn|macro_rules!) (?:assert\w*|expect|test|it)\b"
    expecting_failure = (
        r"\.(?:failing|fails|todo|retries|retryTimes)\b|should_panic|ExpectedException|@ExtendWith|@RunWith"
    )
    mocked = r"\b(?:assert|expect|t)\s*=(?!=)(?!\s*require\()|import (?!expect|assert)[^;\n]* as (?:assert|expect)\b"
    return not re.search(f"{redefined}|{expecting_failure}|{mocked}", source)


def _openings(source: str, syntax: _Syntax) -> Iterator[tuple[int, str]]:
    """The first line of each plain test's body, with the test's name."""
    pattern = re.compile(syntax.test.pattern, re.MULTILINE)
    for test in pattern.finditer(source):
        before = source[: test.start()].rstrip("\n").rpartition("\n")[2].strip()
        if not before.startswith(("@", "#[")):
            yield source.count("\n", 0, test.end()) + 1, test["name"]


def _statements(lines: Sequence[str], start: int, syntax: _Syntax) -> list[int]:
    """Lines that hold one whole statement which each passing run of a test's body has been through."""
    depth, ended = 0, True
    places: list[int] = []
    for at in range(start, len(lines)):
        bare = syntax.strings.sub("0", lines[at]).strip()
        if syntax.unclear.search(bare) or _WAYS_OUT.search(bare.replace("expect(", "")):
            return []  # a way out anywhere may belong to a helper or a callback that decides what is run
        before = depth
        for character in bare:
            depth += (character in "({[") - (character in ")}]")
            if depth < 0:
                return places
        if before == 0 and depth == 0 and ended and bare.endswith((");", ")")):
            places.append(at)
        if bare:
            ended = bare.endswith((";", "}")) and not re.match(r"(?:else|do)\b|\}\s*else\b", bare)
    return []


def _wrong(line: str, pattern: re.Pattern[str], syntax: _Syntax) -> str | None:
    """A line that expects another literal, or `None` if the line is not the assertion alone."""
    assertion = pattern.match(line)
    if not assertion or not _is_one_argument(syntax.strings.sub("0", assertion["given"])):
        return None
    start, end = assertion.span("literal")
    return f"{line[:start]}{_other(assertion['literal'])}{line[end:]}"


def _is_one_argument(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        if depth < 0 or (depth == 0 and character in ",;"):
            return False
    return depth == 0


def _other(literal: str) -> str:
    if literal in ("true", "false"):
        return "false" if literal == "true" else "true"
    if literal[0] in "\"'":
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
        return f"{literal[:-1]}{letters}{literal[-1]}"
    if literal[0] in "[{":
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
        inner = literal[1:-1].strip().removesuffix(",")
        further = f"'{letters}'" if literal[0] == "[" else f"{letters}: 1"
        return f"{literal[0]}{inner}{', ' if inner else ''}{further}{literal[-1]}"
    number = int(literal) if len(literal) <= _LONGEST_NUMBER else 0
    return str(number + 3 + secrets.randbelow(90))
