"""Rates of false alarms of the static detectors on real history, and their catch rate on the cheats of the tests.

`python -m benchmarks suspicions REPOS=DIR,DIR [COMMITS=60] [JSON=FILE]`: each of a repository's last commits is looked
at as a change to its parent. Test files of a commit play sealed tests of its change, though its author knew them: what
is found of their cases in its code is at least as much as in a change of somebody who did not. Nothing of a repository
is run, and nothing is written to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cheats.ground import Ground
from tests.cheats.in_code import ANSWERS, REPORTS
from tests.cheats.in_tests import SETTINGS, TESTS_CHANGED

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.integrity.findings import about_files
from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests
from phasegate.infra.grading.tree.graded_tree import graded_tree
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.policy.model import LifecyclePolicy, Policy
from phasegate.infra.workspace import ChangeSet, Repository

_USAGE = "name repositories: python -m benchmarks suspicions REPOS=DIR,DIR [COMMITS=60] [JSON=FILE]"
_POLICY = Policy(lifecycle=LifecyclePolicy(stages=("prd", "implementation", "testing")))
_SEVERITIES = ("suspicion", "note")
_USUAL = {"test-file-touched", "test-file-added"}
"""Notes that each change of a test file has, so that they tell nothing of a cheat."""
_CHEATS = (*REPORTS, *ANSWERS, *TESTS_CHANGED, *SETTINGS)


@dataclass(frozen=True)
class Look:
    """Findings of the detectors about one commit.

    Attributes:
        repository: The repository's name.
        commit: The commit's id.
        subject: The first line of its message.
        findings: Code, severity, path and message of each finding.
    """

    repository: str
    commit: str
    subject: str
    findings: tuple[tuple[str, str, str, str], ...]

    @classmethod
    def of(cls, repository: str, commit: str, subject: str, found: Sequence[Finding]) -> Look:
        """Note down what was found."""
        said = tuple((one.code, one.severity, one.path, one.message) for one in found)
        return cls(repository, commit, subject, said)

    def codes(self, severity: str) -> set[str]:
        """The codes of the findings of one severity."""
        return {code for code, found, _, _ in self.findings if found == severity}


def measure(words: Sequence[str]) -> None:
    """Look at the commits of some repositories and at the cheats, and print the tables.

    Args:
        words: `KEY=VALUE`, with the keys of the module's docstring.
    """
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    if not given.get("REPOS") or given.keys() - {"REPOS", "COMMITS", "JSON"}:
        sys.exit(_USAGE)
    folders = [Path(folder) for folder in given["REPOS"].split(",")]
    looks = [look for folder in folders for look in look_at(folder, int(given.get("COMMITS", "60")))]
    cheats = list(look_at_cheats())
    expected = {row.name: row.code for row in _CHEATS}
    print(_by_detector(looks), _by_repository(looks), _catches(cheats, expected), sep="\n\n")
    if target := given.get("JSON"):
        made = {"commits": [asdict(look) for look in looks], "cheats": [asdict(look) for look in cheats]}
        Path(target).write_text(json.dumps(made, indent=1) + "\n")


def look_at(folder: Path, count: int) -> Iterator[Look]:
    """Run the detectors over the last commits of a repository, merges left out, the newest first.

    Args:
        folder: A working tree or a bare repository.
        count: How many commits.
    """
    name = folder.parent.name if folder.name in (".git", "repo") else folder.name
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as scratch:
        # a clone that borrows the objects: trees made here go with it
        subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", str(folder), scratch], check=True)
        repository = Repository.open(Path(scratch))
        listed = repository.git.line("rev-list", "--no-merges", f"--max-count={count}", "HEAD").split()
        for number, commit in enumerate(listed, 1):
            sys.stderr.write(f"\r{name} {number}/{len(listed)} ")
            subject = repository.git.output("log", "-1", "--format=%s", commit).decode(errors="replace").strip()
            words = repository.git.output("log", "-1", "--format=%B", commit).decode(errors="replace")
            found = about_change(repository, _change(repository, commit), words)
            yield Look.of(name, commit, subject, found)
        sys.stderr.write("\n")


def about_change(repository: Repository, change: ChangeSet, words: str = "") -> tuple[Finding, ...]:
    """The findings about a change without any run of its tests.

    Args:
        repository: Holds the change.
        change: A commit.
        words: What its author says of it, in the place of criteria.
    """
    graded = graded_tree(repository, change, _POLICY)
    return tuple(about_files(repository, change, graded, SealedCases.of(_tests(repository, change), words)))


def _tests(repository: Repository, change: ChangeSet) -> SealedTests:
    """The test files that a change adds or alters, as it has them."""
    changed = repository.changed(change.base_commit, change.commit)
    paths = [path for path, letter in changed.items() if letter != "D" and is_test_file(path)]
    contents = {path: repository.read_file(change.commit, path) or b"" for path in paths}
    files = [
        SealedFile(path=path, content=content.decode(errors="replace"), criteria=("AC1",))
        for path, content in contents.items()
    ]
    return SealedTests(files=tuple(files))


def _change(repository: Repository, commit: str) -> ChangeSet:
    """A commit as a change to its first parent; of a root commit, to a commit without files."""
    base = repository.git.resolve(f"{commit}^")
    if base is None:
        base = repository.git.write_commit(repository.git.line("mktree"), [], "Nothing\n", at=commit)
    tree = repository.git.tree_of(commit)
    return ChangeSet(base_commit=base, commit=commit, tree=tree, branch="", summary="", files=(), diff_digest="")


def look_at_cheats() -> Iterator[Look]:
    """Run the detectors over each cheat that the test suite plays, as if its change were a commit."""
    with tempfile.TemporaryDirectory(prefix="phasegate-bench-") as scratch:
        ground = Ground(Path(scratch))
        for row in _CHEATS:
            change = ground.change(row)
            yield Look.of("cheats", change.commit, row.name, about_change(ground.repository, change))


def _by_detector(looks: Sequence[Look]) -> str:
    """A table of how many commits each detector flags."""
    counts = {severity: Counter(code for look in looks for code in look.codes(severity)) for severity in _SEVERITIES}
    codes = sorted({code for counter in counts.values() for code in counter})
    lines = [f"{'detector':28}{'suspicion':>12}{'note':>8}{'commits':>10}{'rate':>9}"]
    for code in codes:
        suspicious, noted = counts["suspicion"][code], counts["note"][code]
        rate = suspicious / len(looks) if looks else 0.0
        lines.append(f"{code:28}{suspicious:12}{noted:8}{len(looks):10}{rate:9.2%}")
    return "\n".join(lines)


def _by_repository(looks: Sequence[Look]) -> str:
    """A table of the commits under suspicion, by repository."""
    lines = [f"{'repository':36}{'commits':>9}{'suspected':>11}  by"]
    for name in dict.fromkeys(look.repository for look in looks):
        own = [look for look in looks if look.repository == name]
        suspected = [look.codes("suspicion") for look in own if look.codes("suspicion")]
        codes = ", ".join(sorted({code for found in suspected for code in found}))
        lines.append(f"{name:36}{len(own):9}{len(suspected):11}  {codes}")
    total = sum(bool(look.codes("suspicion")) for look in looks)
    return "\n".join([*lines, f"{'all':36}{len(looks):9}{total:11}"])


def _catches(cheats: Sequence[Look], expected: Mapping[str, str]) -> str:
    """A table of how many cheats each detector finds that it is there for."""
    lines = [f"{'detector':28}{'cheats':>8}{'suspicion':>12}{'note':>8}{'missed':>8}"]
    by_code: dict[str, list[Look]] = {}
    for look in cheats:
        by_code.setdefault(expected[look.subject], []).append(look)
    for code, rows in sorted(by_code.items()):
        suspicious = sum(code in row.codes("suspicion") for row in rows)
        noted = sum(code in row.codes("note") - row.codes("suspicion") for row in rows)
        if suspicious or noted:
            lines.append(f"{code:28}{len(rows):8}{suspicious:12}{noted:8}{len(rows) - suspicious - noted:8}")
    anything = sum(bool(row.codes("suspicion")) for row in cheats)
    noticed = sum(bool(row.codes("suspicion") or row.codes("note") - _USUAL) for row in cheats)
    return "\n".join(
        [*lines, f"of {len(cheats)} cheats, {anything} suspected and {noticed} reported before any test is run"]
    )
