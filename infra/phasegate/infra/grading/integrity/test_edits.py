"""Edits of a change to test files: which of them leave less tested than before.

Called by `findings`. All edits of a change are weighed together, since an honest one splits, renames and joins files.
Amended tests are left out of both sides. Nothing here decides a grade: these files are graded as on the base commit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.evidence import Finding, Severity
from phasegate.infra.grading.integrity.checks_text import runs_only_some
from phasegate.infra.grading.integrity.test_comparison import Loss, losses
from phasegate.infra.grading.tree.test_removal import without_tests
from phasegate.infra.workspace.change_set import readable

_RUNNERS = ("pytest", "_pytest", "pluggy", "unittest")
_HOOKS = re.compile(
    r"def pytest_(?:pyfunc_call|runtest_(?:call|protocol|logreport)|report_teststatus|ignore_collect|deselected"
    r"|pycollect\w*|exception_interact)\b"
    r"|(?:from|import)\s+_pytest\.(?:runner|reports|main|python|assertion|outcomes|terminal|junitxml|unittest)\b.*"
    r"|\b_pytest\.(?:\w+\.)*\w+\s*=(?!=)|os\._exit\("
    r"|\b(?:TestCase|TestResult|TestReport|CallInfo|Function|Session|Item)\.\w+\s*=(?!=)"
    r"|setattr\(\s*[\"']?(?:_?pytest|unittest|pluggy|builtins|sys)\b(?!\.(?:argv|path|platform|std\w+|version_info))"
    r"|collect_ignore\w*\s*=|\b(?:AssertionError|assert)\s*=(?!=)"
)
"""Places by which a file of the tests can alter what is collected, what fails and what is reported."""
_ALTERING = re.compile(
    r"def pytest_(?:runtest_\w+|collection\w*|collect_\w+|itemcollected|make_\w+|session\w+|unconfigure|cmdline_\w+)\b"
)
"""Hooks that alter it with some words alone; else they keep times, free memory or mark tests."""
_ALTERS = re.compile(
    r"\boutcome\s*=(?!=)|force_result|longrepr\s*=(?!=)|exitstatus\s*=(?!=)|\bitems\s*(?:\.(?:clear|remove|pop)\b|\[)"
    r"|\bdel\s+items|deselect|return True"
)
_AS_BEFORE = "graded as on the base commit"
_SHOWN = 3


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

    @property
    def new_hooks(self) -> list[str]:
        """Hooks into the test runner that the file did not have."""
        known = set(_hooks(self.before))
        added = set(self.after.splitlines()) - set(self.before.splitlines())
        alters = any(map(_ALTERS.search, added))
        hooks = [*_hooks(self.after), *(_ALTERING.findall(self.after) if alters else [])]
        return [hook for hook in hooks if hook not in known]


@dataclass(frozen=True)
class Product:
    """Effect of a change on the product, as far as it explains what it does to tests."""

    is_touched: bool = True
    """False where only tests are, which then have nothing to find."""
    gone: frozenset[str] = frozenset()
    """Words that its code no longer has."""
    tells_of_removal: bool = False
    """True where its documentation says that something goes."""

    def explains(self, loss: Loss) -> bool:
        """Tell if an honest change would do the same to a test."""
        return not self.is_touched or (loss.is_gone and self.tells_of_removal)


_TOUCHED = Product()


def about_test_edits(edits: Sequence[TestEdit], product: Product = _TOUCHED) -> Iterator[Finding]:
    """Tell of each edit, in their order; those that leave less tested are suspicious.

    Args:
        edits: All of a change.
        product: What the change does besides.
    """
    before = {edit.path: edit.before for edit in edits if edit.letter != "A"}
    after = {edit.path: edit.after for edit in edits if edit.letter != "D"}
    lost: dict[str, list[Loss]] = {}
    for loss in losses(before, after, product.gone):
        known = replace(loss, is_certain=loss.is_certain and not product.explains(loss))
        lost.setdefault(loss.path, []).append(known)
    for edit in edits:
        yield _about_new(edit) if edit.letter == "A" else _about_old(edit, lost.get(edit.path, []))


def _about_new(edit: TestEdit) -> Finding:
    name, top = edit.path.rpartition("/")[2], edit.path.partition("/")[0].removesuffix(".py")
    message, severity = "added by the change; taken out before grading", "note"
    if name.endswith(".pth") or name.startswith(("sitecustomize", "usercustomize")) or top in _RUNNERS:
        message, severity = f"would be loaded before any test; {message}", "suspicion"
    elif name == "conftest.py" and edit.new_hooks:
        message, severity = f"reaches into the test runner; {message}", "suspicion"
    return _finding("test-file-added", edit.path, message, severity)


def _about_old(edit: TestEdit, lost: Sequence[Loss]) -> Finding:
    certain = [loss.reason for loss in lost if loss.is_certain]
    reasons = [*certain, *(loss.reason for loss in lost if not loss.is_certain)]
    severity = "suspicion" if certain else "note"
    if edit.letter == "D":
        message = f"{_listed(reasons)}deleted by the change; {_AS_BEFORE}"
        return _finding("test-file-touched", edit.path, message, severity)
    if runs_only_some(edit.path, edit.after) and not runs_only_some(edit.path, edit.before):
        reasons, severity = ["only some of its tests are run", *reasons], "suspicion"
    if edit.path.endswith(("conftest.py", "_test.py")) and edit.new_hooks:
        reasons, severity = [f"reaches into the test runner ({edit.new_hooks[0].strip()})", *reasons], "suspicion"
    message = f"{_listed(reasons)}changed by the change; {_AS_BEFORE}"
    return _finding("test-weakened" if reasons else "test-file-touched", edit.path, message, severity)


def _listed(reasons: Sequence[str]) -> str:
    more = f", and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return f"{', '.join(map(readable, reasons[:_SHOWN]))}{more}; " if reasons else ""


def _hooks(text: str) -> list[str]:
    return [hook[0] for hook in _HOOKS.finditer(text)]


def _finding(code: str, path: str, message: str, severity: Severity | str) -> Finding:
    return Finding.model_validate({"code": code, "path": readable(path), "message": message, "severity": severity})
