"""What a person should know about a change besides the verdict.

Called by `grade`. It must not know how the verdict is reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phasegate.infra.grading.evidence import CriterionResult, Finding
from phasegate.infra.grading.test_files import changed_settings, is_test_file, looks_for_test_runner, named_in
from phasegate.infra.grading.test_run import TestRun
from phasegate.infra.policy.model import Policy
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.change_set import readable

_PROBLEMS = {
    "setup-failed": "the setup command failed",
    "tests-timed-out": "the tests did not end in time",
    "no-junit-report": "the test command wrote no JUnit report, or one without a test",
    "junit-unreadable": "the test command's report cannot be read",
}


def touched_test_files(repository: Repository, change: ChangeSet, policy: Policy) -> list[str]:
    """The paths of a change that are tests, test configuration, CI, or named in the setup or test command."""
    base_files = repository.files(change.base_commit)
    named = named_in(policy.project.test, base_files) | named_in(policy.project.setup, base_files)
    paths = repository.changed(change.base_commit, change.commit)
    return [path for path in paths if is_test_file(path) or path in named]


def about_files(repository: Repository, change: ChangeSet, policy: Policy) -> Iterator[Finding]:
    """What the change did to tests, their settings and protected paths, and where it looks for a test runner."""
    for path in change.refused:
        yield Finding(code="protected-path", path=path, message="policy protects it; the change to it was left out")
    tests = set(touched_test_files(repository, change, policy))
    for path, letter in repository.changed(change.base_commit, change.commit).items():
        if path in tests:
            yield _about_test_file(path, letter)
            continue
        before, after = (repository.read_file(commit, path) for commit in (change.base_commit, change.commit))
        if settings := changed_settings(path, before, after):
            code = "pytest-config-changed" if path.endswith(".toml") else "test-settings-changed"
            yield Finding(code=code, path=readable(path), message=f"{settings}; it was graded as the change has it")
        if looks_for_test_runner(after) and not looks_for_test_runner(before):
            yield Finding(code="test-runner-sniffed", path=readable(path), message="it asks whether it is being tested")


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
        yield Finding(code=run.problem, message=f"{where}, {_PROBLEMS[run.problem]}")


def _about_test_file(path: str, letter: str) -> Finding:
    if letter == "A":
        message = "added by the change; taken out before grading"
        return Finding(code="test-file-added", path=readable(path), message=message)
    did = "deleted" if letter == "D" else "changed"
    message = f"{did} by the change; graded as it was on the base commit"
    return Finding(code="test-file-touched", path=readable(path), message=message)
