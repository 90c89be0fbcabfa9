"""Checks of test files in other languages than Python, by the shape of their text.

Called by `test_comparison`. Knows the assertions of node's runners, Go, Rust and the JVM, and words that most
assertions are spelled with. It must not know what a change did to a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from phasegate.infra.grading.integrity.checks import (
    EXACT,
    PARTIAL,
    TRIVIAL,
    WEAK,
    Expectation,
    TestBody,
    is_helper_name,
    squeezed,
)
from phasegate.infra.grading.tree.test_sources import end_of_call, list_tests

_CALL = re.compile(
    r"(?<![\w$])(?P<name>[A-Za-z_$][\w$]*!?(?:(?:\.|::)[\w$]+)*)\s*(?=\()|(?<![\w$])(?P<macro>\w+!)\s*(?=[\[{])"
)
_CHAINED = re.compile(r"\s*(?:\.\s*(?P<word>[\w$]+)|(?=\())")
_DEFINED = re.compile(
    r"(?m)^[ \t]*(?:export\s+)?(?:async\s+|pub\s+|static\s+|private\s+|public\s+)*(?:function\*?|func|fn|fun|def)\s+"
    r"(?:\([^)\n]*\)\s*)?(?P<name>[\w$]+)\s*(?=[(<\[])"
    r"|(?m:^)[ \t]*(?:const|let|var)\s+(?P<arrow>[\w$]+)\s*=\s*(?:async\s*)?(?:function\b|\([^)\n]*\)\s*=>|\w+\s*=>)"
)
_FAILS = re.compile(
    r"[a-z]\w{0,4}\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)|panic!?|fail|t\.fail|assert\.fail|pytest\.fail"
)
_EXACT = re.compile(
    r"(?:\w+_)?(?:assert_eq|eq|eqnice)!?|(?:not_?)?(?:to_?)?(?:strict_?|deep_?|have_?|be_?|is_?|equals?_?|eql_?)+"
    r"(?:ing|to|with|s|same|identical|reference)?"
    r"|(?:assert_?)?(?:\w*equals?|same|json_?eq|eq|nil|null|is_?null|empty|len|error_?is|equal_?error|throws|is|array_?equals?)f?"
    r"|to(?:be|equal|strictequal|havelength|havebeencalledwith|havebeencalledtimes|benull|beundefined|match\w*snapshot"
    r"|throwerror|have_been_called_with)|null|undefined|lengthof|members|keys|status|is_?equal_?to(?:_?\w+)?|snapshot",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"(?:assert_?)?(?:ok|not_?nil|not_?null|not_?empty|not_?equals?|no_?error|truthy|ne|not_?same|is_?not_?null)f?"
    r"|(?:to_?)?(?:be_?)?(?:truthy|defined|exists?|called)|assert|assert!|debug_assert!|assert_ne!|tobetruthy|tobedefined"
    r"|tobefalsy|tohavebeencalled",
    re.IGNORECASE,
)
_LONGEST_TRIVIAL = 300
_LITERAL = r"(?:-?\d[\w.]*|true|false|null|nil|undefined|None|\"[^\"\\]*\"|'[^'\\]*'|\[\]|\{\})"
_SKIPPED = {
    ".go": re.compile(r"(?m)^\t(?:t|b|f)\.Skip(?:Now|f)?\(|\|\|\s*true\s*\{\s*\n\s*t\.Skip"),
    ".rs": re.compile(r"(?m)^\s*#\[ignore\b|#\[cfg\(any\(\)\)\]"),
    ".java": re.compile(r"(?m)^\s*@(?:Disabled|Ignore)\b|\bassume\w*\(\s*false"),
    ".kt": re.compile(r"(?m)^\s*@(?:Disabled|Ignore)\b|\bassume\w*\(\s*false"),
}
_NODE_SKIPPED = re.compile(
    r"^\s*(?:[\w.]+\.)?(?:it|test|specify|t)\.(?:skip|todo|failing|fails)\b|^\s*x(?:it|test)\s*\("
    r"|^[^\n]*\b(?:skip|todo):\s*(?:true|['\"])|\{\s*(?:this|t)\.skip\(\)"
)
_NODE_GROUP_SKIPPED = re.compile(r"(?<![\w.$])(?:(?:describe|context|suite)\.skip|xdescribe|xcontext)\s*\(")
_NODE_ONLY = re.compile(
    r"(?<![\w$])(?:it|test|describe|context|suite|specify)\.only\s*\(|(?<![\w$])f(?:it|describe)\s*\("
)
_LEAVES = re.compile(r"\s*return;?[ \t]*\n")
_NEVER = re.compile(r"\b(?:if|while)\s*\(?\s*(?:false|0|!true|!1)\s*\)?\s*\{")
_TRIES = re.compile(r"\btry\s*\{")
_SWALLOWED = re.compile(r"\s*catch\s*(?:\([^)]*\)\s*)?\{\s*(?:(?://[^\n]*|return;?|console\.\w+\([^)]*\);?)\s*)*\}")
_YES_OR_NO = re.compile(
    r"[(,]\s*(?:true|false)\s*\)$|\b(?:assert|ok)\(\s*!?[\w.]+\.(?:includes|match|test|has\w*|is\w*|startsWith|endsWith|every|some)\("
)
"""Checks of something that is true or false, however they are spelled."""
_PATCHES = re.compile(r"(?:spyOn|stub|replace|mock\w*)\(\s*[\w.]+\s*,\s*['\"](\w+)['\"]")
_NODE = re.compile(r".*\.[cm]?[jt]sx?")
_NODE_OFF = re.compile(r"(?m)^(?P<indent>[ \t]*)x(?P<word>it|test|specify)(?=\s*\()")
_OUT_OF_BUILD = re.compile(r"(?m)^//(?:go:build|\s\+build) (?:ignore|never|none|disabled|skip)\b")


def text_tests(path: str, text: str) -> list[TestBody]:
    """The tests and helpers of a file, and what it checks outside of them under an empty name.

    Args:
        path: Tells the language by its suffix.
        text: The file's content.
    """
    suffix = "." + path.rpartition(".")[2]
    plain = _NODE_OFF.sub(r"\g<indent>\g<word>.skip", text) if _NODE.fullmatch(path) else text
    groups = _skipped_groups(path, plain)
    off = suffix == ".go" and _OUT_OF_BUILD.search(plain) is not None
    bodies: list[TestBody] = []
    rest, at = "", 0
    for test in list_tests(path, plain):
        if test.start < at:
            continue  # inside of another one
        rest, at = rest + plain[at : test.start], test.end
        own = plain[test.start : test.end]
        skipped = off or any(start <= test.start < end for start, end in groups) or _is_skipped(path, suffix, own)
        bodies.append(_body(path, test.name, own, is_test=True, is_skipped=skipped))
    rest += plain[at:]
    rest, helpers = _helpers(path, rest)
    left = _body(path, "", rest, is_test=False, is_skipped=False)
    return [*bodies, *helpers, *([left] if left.checks else [])]


def runs_only_some(path: str, text: str) -> bool:
    """True if a file tells its runner to leave all but some of its tests out."""
    return _NODE.fullmatch(path) is not None and _NODE_ONLY.search(text) is not None


def _is_skipped(path: str, suffix: str, text: str) -> bool:
    if suffix in _SKIPPED:
        return _SKIPPED[suffix].search(text) is not None
    return _NODE.fullmatch(path) is not None and _NODE_SKIPPED.search(text) is not None


def _skipped_groups(path: str, text: str) -> list[tuple[int, int]]:
    if not _NODE.fullmatch(path):
        return []
    starts = [(match.start(), text.index("(", match.start())) for match in _NODE_GROUP_SKIPPED.finditer(text)]
    return [(start, end_of_call(text, opening) or len(text)) for start, opening in starts]


def _helpers(path: str, text: str) -> tuple[str, list[TestBody]]:
    """Rest of a text without the functions in it that check something, and these functions."""
    helpers: list[TestBody] = []
    rest, at = "", 0
    for match in _DEFINED.finditer(text):
        opening = text.find("{", match.end())
        if match.start() < at or opening < 0:
            continue
        end = end_of_call(text, opening)
        own = text[opening:end] if end else ""
        body = _body(path, match["name"] or match["arrow"], own, is_test=False, is_skipped=False)
        if body.checks and end:
            helpers.append(body)
            rest, at = rest + text[at : match.start()], end
    return rest + text[at:], helpers


def _body(path: str, name: str, text: str, *, is_test: bool, is_skipped: bool) -> TestBody:
    bare = _without_idle(re.sub(r"(?m)^\s*(?://|\*|/\*|///).*$", "", text))
    names = frozenset(re.split(r"\.|::", match["name"] or match["macro"])[-1] for match in _CALL.finditer(bare))
    return TestBody(
        path,
        name,
        text,
        tuple(_checks(bare)),
        names,
        is_test=is_test,
        is_skipped=is_skipped,
        patched=frozenset(_PATCHES.findall(bare)),
    )


def _without_idle(text: str) -> str:
    """A text without what is never reached, and without blocks whose failures are swallowed."""
    if (opened := re.search(r"\{[ \t]*\n", text)) and _LEAVES.match(text, opened.end()):
        text = text[: opened.end()]
    for pattern in (_NEVER, _TRIES):
        at = 0
        while block := pattern.search(text, at):
            at = block.end()
            end = end_of_call(text, at - 1)
            if end and (pattern is _NEVER or _SWALLOWED.match(text, end)):
                text, at = text[: block.start()] + text[end:], block.start()
    return text


def _checks(text: str) -> Iterator[Expectation]:
    """The checks of a text; one inside of another belongs to it."""
    at = 0
    for match in _CALL.finditer(text):
        if match.start() < at:
            continue
        name = match["name"] or match["macro"]
        first = re.split(r"\.|::", name)
        if _FAILS.fullmatch(name):
            yield _of_condition(text, match.start())
            at = end_of_call(text, match.end()) or match.end()
        elif _is_assertion(first):
            words, end = _chain(text, match)
            at = end
            yield _check(text[match.start() : end], [*first, *words])
    if at == 0:
        for line in re.findall(r"(?m)^.*\.should\b.*$|^\s*assert\b.*$", text):
            yield _check(line, ["should"])


def _is_assertion(names: Sequence[str]) -> bool:
    first, last = names[0].rstrip("!"), names[-1].rstrip("!")
    if first in ("expect", "assert", "require", "should", "Assert", "Assertions", "chai", "sinon", "verify"):
        return first != "require" or len(names) > 1
    if first == "t" and len(names) > 1:
        return (
            re.fullmatch(
                r"is\w*|not\w*|true|false|truthy|falsy|deep\w*|equal\w*|same|like|throws\w*|regex|match|ok|plan", last
            )
            is not None
        )
    return is_helper_name(last) or last in ("expect", "eqnice", "eq") or re.fullmatch(r"assert\w*", last) is not None


def _chain(text: str, match: re.Match[str]) -> tuple[list[str], int]:
    """The words called on the result of a call, and where all of it ends."""
    words: list[str] = []
    at = end_of_call(text, match.end()) or len(text)
    while link := _CHAINED.match(text, at):
        word = link["word"]
        if word is None:
            if link.end() != at or not words:
                break  # a bracket on another line is another statement's
            at = end_of_call(text, link.end()) or len(text)
            continue
        if word == "expect":
            break  # a check of its own
        words.append(word)
        at = link.end()
    return words, at


def _check(text: str, words: Sequence[str]) -> Expectation:
    names = frozenset(re.split(r"\.|::", call["name"] or call["macro"])[-1] for call in _CALL.finditer(text))
    subject = names - {word.rstrip("!") for word in words} - set(words)
    return Expectation(
        squeezed(text), subject or frozenset(re.findall(r"[A-Za-z_]\w{2,}", text)) - set(words), _strength(text, words)
    )


def _strength(text: str, words: Sequence[str]) -> int:  # noqa: PLR0911 - one answer per kind of check
    if _is_always(text):
        return TRIVIAL
    last = words[-1].rstrip("!")
    if "not" in words or last in ("any", "anything") or re.search(r"\(\s*expect\.any\w*\([^)]*\)\s*\)$", text):
        return WEAK
    if last in ("assert", "ok", "True", "assertTrue", "isTrue", "True", "debug_assert", "true") and re.search(
        r"[=!]==?|matches!", text
    ):
        return EXACT if re.search(r"===?[^=]", text) and "||" not in text else PARTIAL
    if re.search(r"\btypeof\b|\binstanceof\b|not_?panics?|notthrow", text, re.IGNORECASE):
        return WEAK
    if re.fullmatch(r"(?:assert_?|is_?)?(?:true|false)f?", last, re.IGNORECASE) or _YES_OR_NO.search(text):
        return PARTIAL
    if _WEAK.fullmatch(last) or (last in ("toThrow", "throw", "throws") and re.search(r"\(\s*\)$", text)):
        return WEAK
    return EXACT if _EXACT.fullmatch(last) else PARTIAL


def _is_always(text: str) -> bool:
    plain = squeezed(text)
    if len(plain) > _LONGEST_TRIVIAL:
        return False
    alone = r"[\w.:]*(?:assert|ok|[tT]rue|expect|assertTrue|truthy)!?\((?:\w+,)?(?:true|1|!0|!false)(?:,.*)?\)(?:\..*)?"
    both = rf"[\w.:]*!?\((?:t,)?(?P<one>{_LITERAL})(?:,|\)\.[\w.]+\()(?P<other>{_LITERAL})(?:,.*)?\);?"
    if re.fullmatch(alone, plain) and not re.search(r"\.(?:not|toBe\(false)", plain):
        return True
    if (comparison := re.fullmatch(both, plain)) and not re.search(r"[Nn]ot|_ne!", plain):
        return comparison["one"] == comparison["other"]
    same = re.fullmatch(r"[\w.:]*!?\((?:t,)?(?P<one>.+?)(?:,|\)\.(?:to\.)?\w+\()(?P=one)\);?", plain)
    return (same is not None and not re.search(r"[Nn]ot|_ne!", plain)) or re.search(
        r"\|\|(?:true|1|!0)\b", plain
    ) is not None


def _of_condition(text: str, at: int) -> Expectation:
    """A failure that code reports by itself, such as `t.Errorf`: its condition is the check."""
    before = text[max(0, at - 600) : at]
    conditions = list(re.finditer(r"\b(?:if|else if|unless|while)\b\s*(?P<condition>[^\n{]*)\{?", before))
    condition = conditions[-1]["condition"].strip() if conditions else ""
    if re.search(r"^\(?(?:false|0|1==2|true==false)\)?$|&&\(?false|^\(?false&&", squeezed(condition)):
        return Expectation(squeezed(condition), frozenset(), TRIVIAL)
    names = frozenset(re.findall(r"[A-Za-z_]\w{2,}", condition))
    is_exact = "!=" in condition and not re.search(r"!= ?(?:nil|null|0)\b", condition)
    is_weak = "==" in condition and not re.search(r"== ?(?:nil|null|false)\b", condition)
    return Expectation(squeezed(condition), names, EXACT if is_exact else WEAK if is_weak else PARTIAL)
