"""Tests inside product files: graded as the base commit has them, where they can be compiled with the change.

Called by `grade` before the change is tried. What the change made of such tests is released as its own test files are:
if the whole suite passes with them, too. It must not know the rules of the verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.runner.runner import Bench, Checkout, require_services
from phasegate.infra.grading.tree.graded_tree import GradedTree, commit_with
from phasegate.infra.grading.tree.inline_tests import is_test_module, with_tests_of
from phasegate.infra.workspace import ChangeSet
from phasegate.infra.workspace.change_set import readable

_TOUCHED = "tests inside product code, changed by the change; graded as on the base commit"
_LOST = "tests inside product code are changed, and the base commit's do not run with the change: nothing guards them"


async def with_base_inline_tests(
    bench: Bench, change: ChangeSet, graded: GradedTree
) -> tuple[GradedTree, tuple[Finding, ...]]:
    """Put the base commit's inline tests back into a graded tree, if anything runs with them.

    Args:
        bench: Where that is tried.
        change: What is graded.
        graded: Its tree with the base commit's test files.

    Returns:
        The tree that is to be graded, and what is to be said about its inline tests.
    """
    contents = await asyncio.to_thread(lambda: dict(_put_back(bench, change, graded)))
    if not contents:
        return graded, ()
    base = change.base_commit
    tree = await asyncio.to_thread(commit_with, bench.repository, graded.tree, contents, base=base)
    checkout = Checkout("change-with-inline-tests-of-base", tree, graded.belongs_to_tests, origin="change")
    run = require_services(await bench.run(checkout))
    touched = sorted(path for path in contents if bench.repository.read_file(base, path) is not None)
    if run.problem:
        return graded, tuple(_finding("inline-tests-replaced", path, _LOST) for path in touched)
    restored_tree = replace(graded, tree=tree, own_tests=graded.own_tests | contents.keys())
    return restored_tree, tuple(_finding("inline-tests-touched", path, _TOUCHED) for path in touched)


def _put_back(bench: Bench, change: ChangeSet, graded: GradedTree) -> Iterator[tuple[str, bytes]]:
    base = _reader(bench, change.base_commit)
    tree = _reader(bench, graded.tree)
    paths = bench.repository.changed(change.base_commit, graded.tree)
    for path, letter in paths.items():
        if not path.endswith(".rs") or letter not in "AM":
            continue
        before, after = base(path), tree(path)
        text = before if before and is_test_module(path, base) else with_tests_of(before, after)
        if text is not None and text != after:
            yield path, text.encode()


def _reader(bench: Bench, commit: str) -> Callable[[str], str]:
    def read(path: str) -> str:
        try:
            return (bench.repository.read_file(commit, path) or b"").decode()
        except UnicodeDecodeError:
            return ""  # no Rust

    return read


def _finding(code: str, path: str, message: str) -> Finding:
    severity = "suspicion" if code == "inline-tests-replaced" else "note"
    return Finding.model_validate({"code": code, "path": readable(path), "message": message, "severity": severity})
