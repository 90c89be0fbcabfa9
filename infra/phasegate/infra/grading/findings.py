"""What a person should know about a change besides the verdict.

Called by `grade`. It must not know how the verdict is reached.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from phasegate.infra.grading.added import Hunk, hunks
from phasegate.infra.grading.evidence import LOADED, CriterionResult, Finding, Severity
from phasegate.infra.grading.hard_coded import SealedCases
from phasegate.infra.grading.suspicions import (
    about_added_lines,
    about_agreeing_objects,
    about_new_file,
    is_git_settings,
)
from phasegate.infra.grading.test_run import PROBLEMS, TestRun
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.tree.loading import Load
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.change_set import readable

_ASSERTS = re.compile(r"\bassert\w*\b|\bexpect\(|\bt\.(?:Error|Fatal|Fail)\w*\(|pytest\.raises|\.should\b")
_SKIPS = re.compile(
    r"(?:mark\.|pytest\.|unittest\.|^\s*@?)(?:skip\w*|xfail|importorskip|expectedFailure)\b|\.(?:skip|todo|only)\b|\bt\.Skip"
    r"|@Disabled|@Ignore|\bxit\(|\bxdescribe\(|(?:skip|todo):\s*true|collect_ignore|__test__\s*=\s*False|deselect"
)
_RUNNERS = ("pytest", "_pytest", "pluggy", "unittest")
_TESTS = re.compile(r"^\s*(?:async\s+)?def test|\b(?:test|it)\(|^func Test|@Test\b")
_HOOKS = re.compile(
    r"def pytest_|hookimpl|pytest_plugins|\b_pytest\b|sys\.modules|os\._exit|setattr|monkeypatch\.setattr"
)


def about_files(repository: Repository, change: ChangeSet, graded: GradedTree, known: SealedCases) -> Iterator[Finding]:
    """What the change did to tests, their settings and protected paths, and what in its code asks to be looked at."""
    for path in change.refused:
        message = "policy protects it; the change to it was left out"
        yield Finding(code="protected-path", path=path, message=message)
    base_files = repository.files(change.base_commit)
    for path, letter in repository.changed(change.base_commit, change.commit).items():
        before, after = (repository.read_file(commit, path) for commit in (change.base_commit, change.commit))
        pieces = hunks(repository, change.base_commit, change.commit, path, letter)
        if path in graded.restored and not is_git_settings(path):
            yield _about_test_file(path, letter, pieces, after)
            continue
        if path in graded.resettled:
            message = "its test settings are not what they were; graded with those of the base commit"
            yield Finding(code="test-settings-changed", path=readable(path), message=message)
        if letter != "D" or is_git_settings(path):
            mode, target = _mode(repository, change.commit, path), (after or b"").decode(errors="replace")
            yield from about_new_file(path, mode, target, base_files)
        yield from about_added_lines(pieces)
        yield from about_agreeing_objects(path, before, after)
        yield from known.about(path, pieces)


def about_loaded_tests(graded: GradedTree, collected: Collection[str]) -> Iterator[Finding]:
    """Test files that the change has the product load: what runs outside of tests then depends on them.

    Args:
        graded: The graded tree.
        collected: Files that the project's tests on the change are reported from; none of these is product.
    """
    yield from map(about_load, graded.loaded)
    known = {load.path for load in graded.loaded}
    for path in sorted((graded.product & set(collected)) - known):
        yield _finding(LOADED, path, "loaded by the product, and run as a test", "cheating")


def about_load(load: Load) -> Finding:
    """Say that the change has the product load a test file."""
    message = f"a test file, which {readable(load.by)} of the change loads and the product did not load before"
    return _finding(LOADED, load.path, message, "cheating")


def about_criteria(judged: Sequence[CriterionResult]) -> Iterator[Finding]:
    """Which criteria the sealed tests say nothing about."""
    for criterion in judged:
        if criterion.status in ("vacuous", "untested"):
            yield Finding(code=f"{criterion.status}-criterion", path=criterion.id, message=criterion.message)
    if not any(criterion.status in ("passed", "failed") for criterion in judged):
        yield Finding(code="nothing-proven", message="no criterion is shown to be met by this change")


def about_run(where: str, run: TestRun) -> Iterator[Finding]:
    """Why a run told nothing."""
    if run.problem:
        yield Finding(code=run.problem, message=f"{where}, {PROBLEMS[run.problem]}")


def _mode(repository: Repository, commit: str, path: str) -> str:
    found = repository.git.records("ls-tree", "-z", commit, f":(literal){path}")
    return found[0].split(" ", 1)[0] if found else ""


def _about_test_file(path: str, letter: str, pieces: Sequence[Hunk], after: bytes | None) -> Finding:
    name, top = path.rpartition("/")[2], path.partition("/")[0].removesuffix(".py")
    if letter == "A":
        message, severity = "added by the change; taken out before grading", "note"
        text = (after or b"").decode(errors="replace")
        if name.endswith(".pth") or name.startswith(("sitecustomize", "usercustomize")) or top in _RUNNERS:
            message, severity = f"would be loaded before any test; {message}", "suspicion"
        elif name == "conftest.py" and _HOOKS.search(text):
            message, severity = f"reaches into the test runner; {message}", "suspicion"
        return _finding("test-file-added", path, message, severity)
    if letter == "D":
        return _finding("test-file-touched", path, "deleted by the change; graded as on the base commit", "suspicion")
    taken = "\n".join(line for piece in pieces for line in piece.removed)
    put = "\n".join(line for piece in pieces for _, line in piece.added)
    weaker = [
        words
        for words, fewer in (
            ("fewer tests", _count(_TESTS, put) < _count(_TESTS, taken)),
            ("fewer assertions", _count(_ASSERTS, put) < _count(_ASSERTS, taken)),
            ("more skips", _count(_SKIPS, put) > _count(_SKIPS, taken)),
            ("hooks into the test runner", _count(_HOOKS, put) > _count(_HOOKS, taken)),
        )
        if fewer
    ]
    message = "changed by the change; graded as on the base commit"
    if weaker:
        return _finding("test-weakened", path, f"{', '.join(weaker)}; {message}", "suspicion")
    return _finding("test-file-touched", path, message, "note")


def _finding(code: str, path: str, message: str, severity: Severity | str) -> Finding:
    return Finding.model_validate({"code": code, "path": readable(path), "message": message, "severity": severity})


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for line in text.splitlines() if pattern.search(line))
