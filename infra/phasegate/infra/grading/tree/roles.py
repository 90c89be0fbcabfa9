"""Test or product: decided for each file of a change that is named like a test.

Called when the tree to grade is made. What is test on the base commit stays test. A new file is test if it holds tests,
lies beside tests or is loaded by tests alone; what the product loads is product. It must not know what tests found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.loading import Load, Targets, is_loader, texts
from phasegate.infra.grading.tree.patterns import TEST_FOLDERS, is_machinery, is_test_file, is_test_name
from phasegate.infra.workspace import Repository

_TESTS = re.compile(
    r"^\s*(?:async\s+)?def\s+test|^\s*class\s+\w*Test\w*\b|^\s*def\s+test|@(?:Parameterized)?Test\b|#\[(?:\w+::)?test\b"
    r"|^\s*(?:public\s+)?function\s+test|\[(?:Fact|Theory|Test|TestMethod)\b|^\s*TEST(?:_F|_P)?\s*\("
    r"|\b(?:it|test|describe|specify|suite|context|feature|scenario)(?:\.\w+)*\s*\(?\s*[\"'`]|^func\s+(?:Test|Benchmark|Fuzz)",
    re.MULTILINE,
)
_HOLDS_ONLY = re.compile(
    r"^\s*(?:async\s+)?def\s+test(?:_|[A-Z0-9])|^class\s+\w+\(.*TestCase\s*\)"
    r"|^\s*(?:\w+\.)?(?:it|test|describe|specify|suite)(?:\.\w+)*\s*\(\s*[\"'`]",
    re.MULTILINE,
)
"""As tests stand in files of their own, where a name tells nothing."""
_PRODUCT_WITH_TESTS = (".rs", ".md", ".rst", ".txt", ".adoc")
_BESIDE = ("testdata", "__snapshots__", "__mocks__", "__tests__")


def holds_tests(text: str) -> bool:
    """True if a file's text has tests in it, as runners find them."""
    return _TESTS.search(text) is not None


@dataclass(frozen=True)
class Roles:
    """The parts that a commit's files play.

    Attributes:
        repository: Holds the commit.
        commit: Which one.
        collected: Files that the runner is known to take tests from; empty: not known.
    """

    repository: Repository
    commit: str
    collected: frozenset[str] = frozenset()

    def product(self, paths: Collection[str], *, base: Roles | None = None) -> set[str]:
        """Files named like tests that are product after all.

        Args:
            paths: Files of this commit that are named like tests.
            base: The roles on the base commit; given where the files are new in this one.
        """
        return {path for path in paths if not self._is_test(path, base)}

    def loads_of(self, tests: Collection[str], product: Collection[str] = ()) -> Iterator[Load]:
        """The test files that product code names exactly.

        Args:
            tests: Test files.
            product: Files named like tests that are product.
        """
        for load in self._loads:
            if load.exact and load.path in tests and (not is_test_file(load.by) or load.by in product):
                yield load

    def tests(self) -> frozenset[str]:
        """The files that hold tests, by their text or by what the runner reports."""
        return self._holding | (self.collected & set(self._files))

    def tests_under_other_names(self) -> frozenset[str]:
        """Collect files that the runner takes tests from, though no test is named so: `test.py`, tables of cases.

        Product code with tests inside, and documentation with examples, are product.
        """
        paths = {path for path in self.collected & set(self._files) if not is_test_file(path)}
        paths = {path for path in paths if not path.endswith(_PRODUCT_WITH_TESTS)}
        if not paths:
            return frozenset()  # reading all of the product is for nothing then
        holding = {path for path in paths if not is_code(path) or _HOLDS_ONLY.search(self._texts.get(path, ""))}
        loaded = {load.path for load in self._loads if not is_test_file(load.by) and load.by not in holding}
        return frozenset(holding - loaded)

    def has_tests_beside(self, path: str) -> bool:
        """True if tests lie in the test folder that a file is in, or beside that folder where it holds tests' data."""
        return any(folder in self._with_tests for folder in _test_folders(path))

    def _is_test(self, path: str, base: Roles | None) -> bool:
        if is_machinery(path) or path.endswith("_test.go") or path in self.collected:
            return True
        holds, is_loaded = path in self._holding, path in self._product_loaded
        beside = self.has_tests_beside(path) or (base is not None and base.has_tests_beside(path))
        if base is None and holds:
            return not (self.collected and any(self.loads_of([path])))
        if base is not None and base.has_tests_beside(path):
            return True
        if is_loaded:
            return base is None and beside
        return holds or beside or path in self._test_loaded

    @cached_property
    def _files(self) -> list[str]:
        return self.repository.files(self.commit)

    @cached_property
    def _named(self) -> list[str]:
        return [path for path in self._files if is_test_name(path)]

    @cached_property
    def _texts(self) -> dict[str, str]:
        wanted = [path for path in self._files if is_loader(path)]
        return texts(self.repository, self.commit, wanted)

    @cached_property
    def _holding(self) -> frozenset[str]:
        return frozenset(path for path in self._named if holds_tests(self._texts.get(path, "")))

    @cached_property
    def _with_tests(self) -> frozenset[str]:
        """The folders that hold tests, at whatever depth."""
        folders: set[str] = set()
        loaded = self._product_loaded - self.collected
        for path in (self._holding | (self.collected & set(self._named))) - loaded:
            parts = path.split("/")[:-1]
            folders |= {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}
            folders.add(f"{'/'.join(parts)}/*")
        return frozenset(folders)

    @cached_property
    def _loads(self) -> list[Load]:
        targets = Targets.of([path for path in self._files if is_test_file(path) or path in self.collected])
        return [load for path, text in self._texts.items() for load in targets.loaded_by(path, text)]

    @cached_property
    def _product_loaded(self) -> frozenset[str]:
        """Files named like tests that product code loads, through one another too."""
        loaded: set[str] = set()
        tests = self.tests_under_other_names()
        by_product = [load for load in self._loads if load.by not in tests]
        more = True
        while more:
            paths = {load.path for load in by_product if not is_test_file(load.by) or load.by in loaded} - loaded
            loaded |= paths
            more = bool(paths)
        return frozenset(loaded)

    @cached_property
    def _test_loaded(self) -> frozenset[str]:
        return frozenset(load.path for load in self._loads if is_test_file(load.by))


def _test_folders(path: str) -> Iterator[str]:
    """The folders above a file that are named as tests' are; `…/*` for what lies directly in the one above."""
    parts = path.split("/")[:-1]
    for number, name in enumerate(parts):
        if name in TEST_FOLDERS:
            yield "/".join(parts[: number + 1])
            if name in _BESIDE:
                yield f"{'/'.join(parts[:number])}/*"
