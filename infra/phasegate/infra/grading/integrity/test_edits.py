"""Edits of a change to test files: which of them leave less tested than before.

Called by `findings`. All edits of a change are weighed together, since an honest one splits, renames and joins files.
Amended tests are left out of both sides. Nothing here decides a grade: these files are graded as on the base commit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.evidence import Finding, Severity
from phasegate.infra.grading.tree.test_removal import without_tests
from phasegate.infra.workspace.change_set import readable

_ASSERTS = re.compile(r"\bassert\w*\b|\bexpect\(|\bt\.(?:Error|Fatal|Fail)\w*\(|pytest\.raises|\.should\b")
_SKIPS = re.compile(
    r"(?:mark\.|pytest\.|unittest\.|^\s*@?)(?:skip|xfail|expectedFailure)\b"
    r"|\bskip(?:if|If)\(\s*(?:True|1|not\s+(?:False|0))\b|\bskipUnless\(\s*(?:False|0)\b"
    r"|\.(?:skip|todo|only)\b|\bt\.Skip|@Disabled|@Ignore|\bxit\(|\bxdescribe\(|(?:skip|todo):\s*true"
    r"|collect_ignore|__test__\s*=\s*False|deselect"
)
"""Skips without a condition; what one platform lacks is skipped honestly."""
_TESTS = re.compile(r"^\s*(?:async\s+)?def test|\b(?:test|it)\(|^func Test|@Test\b")
_CASES = re.compile(
    r"\bparametrize\(|\bsubTest\(|@ParameterizedTest\b|\.each\b|@(?:given|data|parameterized)\b|\bt\.Run\("
)
_RUNNERS = ("pytest", "_pytest", "pluggy", "unittest")
_HOOKS = re.compile(
    r"def pytest_|hookimpl|pytest_plugins|\b_pytest\b|os\._exit|sys\.modules\b.*(?:pytest|unittest)"
    r"|setattr\(\s*[\"']?(?:_?pytest|unittest|builtins|sys)\b"
)
_AS_BEFORE = "graded as on the base commit"


@dataclass(frozen=True)
class TestEdit:
    """A change's edit of one test file.

    Attributes:
        path: The file's.
        letter: Git's for what became of it: A, M, D, …
        before: Its text on the base commit, without the amended tests.
        after: Its text in the change, without those.
    """

    __test__ = False  # pytest would take it for a test

    path: str
    letter: str
    before: str
    after: str

    @classmethod
    def of(
        cls, path: str, letter: str, before: bytes | None, after: bytes | None, amended: Collection[AmendedTest]
    ) -> Self:
        """Read an edit, without the tests that were amended."""
        texts = [(content or b"").decode(errors="replace") for content in (before, after)]
        ids = [test.test.partition("::") for test in amended if test.status == "amended"]
        if names := {name for file, _, name in ids if file == path}:
            texts = [without_tests(path, text, names) for text in texts]
        return cls(path, letter, *texts)

    def less(self, pattern: re.Pattern[str]) -> bool:
        """True if fewer lines of the file match than before."""
        return _count(pattern, self.after) < _count(pattern, self.before)

    def more(self, pattern: re.Pattern[str]) -> bool:
        """True if more lines of the file match than before."""
        return _count(pattern, self.after) > _count(pattern, self.before)


def about_test_edits(edits: Sequence[TestEdit]) -> Iterator[Finding]:
    """Tell of each edit, in their order; those that leave less tested are suspicious."""
    texts = ["\n".join(edit.before for edit in edits), "\n".join(edit.after for edit in edits)]
    lost = [pattern for pattern in (_TESTS, _ASSERTS) if _count(pattern, texts[1]) < _count(pattern, texts[0])]
    for edit in edits:
        yield _about_new(edit) if edit.letter == "A" else _about_old(edit, lost)


def _about_new(edit: TestEdit) -> Finding:
    name, top = edit.path.rpartition("/")[2], edit.path.partition("/")[0].removesuffix(".py")
    message, severity = "added by the change; taken out before grading", "note"
    if name.endswith(".pth") or name.startswith(("sitecustomize", "usercustomize")) or top in _RUNNERS:
        message, severity = f"would be loaded before any test; {message}", "suspicion"
    elif name == "conftest.py" and _HOOKS.search(edit.after):
        message, severity = f"reaches into the test runner; {message}", "suspicion"
    return _finding("test-file-added", edit.path, message, severity)


def _about_old(edit: TestEdit, lost: Collection[re.Pattern[str]]) -> Finding:
    fewer = [pattern for pattern in lost if edit.less(pattern) and not edit.more(_CASES)]
    if edit.letter == "D":
        severity = "suspicion" if fewer else "note"
        return _finding("test-file-touched", edit.path, f"deleted by the change; {_AS_BEFORE}", severity)
    weaker = [
        words
        for words, holds in (
            ("fewer tests", _TESTS in fewer),
            ("fewer assertions", _ASSERTS in fewer),
            ("more skips", edit.more(_SKIPS)),
            ("hooks into the test runner", edit.more(_HOOKS)),
        )
        if holds
    ]
    message = f"changed by the change; {_AS_BEFORE}"
    if weaker:
        return _finding("test-weakened", edit.path, f"{', '.join(weaker)}; {message}", "suspicion")
    return _finding("test-file-touched", edit.path, message, "note")


def _finding(code: str, path: str, message: str, severity: Severity | str) -> Finding:
    return Finding.model_validate({"code": code, "path": readable(path), "message": message, "severity": severity})


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for line in text.splitlines() if pattern.search(line))
