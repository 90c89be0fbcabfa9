"""Tests that can notice a piece of a change, told by the files that each test file loads: tried first, as they are few.

Called by ablation. Code may load files by names that no text holds, so a piece that these tests do not notice is tried
with all tests. It must not know what becomes of a piece.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from phasegate.infra.grading.runner.narrowing import unneeded_tests
from phasegate.infra.grading.runner.reach import contents, reaching
from phasegate.infra.workspace import Repository

_FEWEST = 2
"""Part of the test files that must be left out at least, or all of them run: one in so many."""


@dataclass
class ReachedTests:
    """Test files by what they load.

    Attributes:
        repository: Holds the tree.
        tree: The change.
        collected: Files that the project's tests are reported from.
        sealed: Content of the tests that run in any case, by path.
        command: The test command.
    """

    repository: Repository
    tree: str
    collected: Collection[str]
    sealed: Mapping[str, str]
    command: str
    _content: dict[str, str] | None = field(default=None, repr=False)
    _known: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]], repr=False)

    def spared(self, path: str) -> frozenset[str]:
        """Test files that lead to no file of a path, or none if leaving them out would save little."""
        if path not in self._known:
            self._known[path] = self._spared(path)
        return self._known[path]

    def _spared(self, path: str) -> frozenset[str]:
        if self._content is None:
            self._content = contents(self.repository, self.tree) or {}
        leading = reaching(self._content, {path}) & set(self.collected)
        wanted = {**{loader: self._content.get(loader, "") for loader in leading}, **self.sealed}
        tests = unneeded_tests(self.repository, self.tree, self.collected, wanted, self.command, self._content)
        return tests if self._content and len(tests) * _FEWEST >= len(set(self.collected)) else frozenset()
