"""Findings about a change, which a person should know besides the verdict.

Called by `grade`. It must not know how the verdict is reached.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from phasegate.infra.grading.amendments import AmendedTest
from phasegate.infra.grading.evidence import LOADED, CriterionResult, Finding, Severity
from phasegate.infra.grading.integrity.hard_coded import SealedCases
from phasegate.infra.grading.integrity.heuristics import (
    about_added_lines,
    about_agreeing_objects,
    about_new_file,
    is_aside,
    is_git_settings,
)
from phasegate.infra.grading.integrity.keyed_by_digest import about_digest_keys
from phasegate.infra.grading.integrity.test_edits import Product, TestEdit, about_test_edits
from phasegate.infra.grading.integrity.unread_files import about_unread_file
from phasegate.infra.grading.integrity.word_rules import Rule
from phasegate.infra.grading.runner.runner import PROBLEMS, TestRun
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.grading.tree.diff import hunks
from phasegate.infra.grading.tree.graded_tree import GradedTree
from phasegate.infra.grading.tree.loading import Load, texts
from phasegate.infra.grading.tree.patterns import is_test_file
from phasegate.infra.grading.tree.readable_source import ReadableSource
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.change_set import readable

_WORD = re.compile(r"[A-Za-z_]\w{3,}")
_PROSE = re.compile(r".*\.(?:md|rst|txt|adoc)|(?:.*/)?(?:CHANGE\w*|HISTORY|NEWS)", re.IGNORECASE)
_IDLE = re.compile(
    rf"{_PROSE.pattern}|.*\.(?:toml|cfg|ini|lock|ya?ml)|(?:.*/)?(?:(?:package|tsconfig)[\w.-]*\.json|go\.(?:mod|sum)|\.\w+)",
    re.IGNORECASE,
)
"""Files that hold none of the product's behaviour."""
_REMOVAL = re.compile(rb"\b(?:remov|drop|delet|deprecat|no longer)", re.IGNORECASE)
_DEFINED = re.compile(r"\b(?:def|class|function|func|fn|fun|struct|enum|trait|interface)\s+([A-Za-z_]\w{3,})")
_BYTES_WORD = re.compile(rb"\w+")
_COMMENT = re.compile(r"(?m)^[ \t]*(?:#|//|/?\*).*$")


def about_files(
    repository: Repository,
    change: ChangeSet,
    graded: GradedTree,
    known: SealedCases,
    amended: Sequence[AmendedTest] = (),
    statements: str = "",
) -> Iterator[Finding]:
    """Tell what the change did to tests, their settings and protected paths, and what of its code to look at.

    Args:
        repository: Holds the change.
        change: What was graded.
        graded: Its graded tree.
        known: Cases of the sealed tests.
        amended: Tests that the ticket makes obsolete.
        statements: The acceptance criteria in words.
    """
    for path in change.refused:
        message = "policy protects it; the change to it was left out"
        yield Finding(code="protected-path", path=path, message=message)
    base_files = repository.files(change.base_commit)
    changed = repository.changed(change.base_commit, change.commit)
    modes = repository.modes(change.commit)
    with repository.reading():
        read = repository.read_file
        whole = {path: (read(change.base_commit, path), read(change.commit, path)) for path in changed}
    sources = {path: (ReadableSource.of(before), ReadableSource.of(after)) for path, (before, after) in whole.items()}
    contents = {path: (before.content, after.content) for path, (before, after) in sources.items()}
    for path, (_, source) in sources.items():
        if source.left_out and is_code(path):
            message = f"no rule has looked at {source.left_out}: nobody writes such code by hand"
            yield _finding("source-not-read", path, message, "suspicion")
    tests = [path for path in changed if path in graded.restored and not is_git_settings(path)]
    product = [path for path in changed if path not in tests]
    base_code = _BaseCode(repository, change.base_commit, base_files)
    edits = [TestEdit.of(path, changed[path], *contents[path], amended) for path in tests]
    for path, (before, after) in whole.items():  # graders read the whole file, or nothing of it
        yield from about_unread_file(path, before, after)
    yield from about_test_edits(edits, _about_product({path: contents[path] for path in product}))
    words = _ProductWords.of(product, contents)
    letters = {path: changed[path] for path in product}
    for path, whole_pieces in zip(product, hunks(repository, change.base_commit, change.commit, letters), strict=True):
        letter, (before, after) = changed[path], contents[path]
        pieces = sources[path][1].pieces(whole_pieces)
        if path in graded.resettled:
            message = "its test settings are not what they were; graded with those of the base commit"
            yield Finding(code="test-settings-changed", path=readable(path), message=message)
        if letter != "D" or is_git_settings(path):
            target = (after or b"").decode(errors="replace")
            yield from about_new_file(path, modes.get(path, ""), target, base_files)
        aside = is_aside(path) and not words.name(path)
        yield from about_added_lines(pieces, after, base_has=base_code.has, is_aside=aside)
        yield from about_agreeing_objects(path, before, after, statements)
        added = {number for piece in pieces for number, _ in piece.added}
        yield from about_digest_keys(path, (after or b"").decode(errors="replace"), added)
        yield from known.about(path, pieces, after, base_code.says)


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
    """Find criteria that the sealed tests say nothing about."""
    for criterion in judged:
        if criterion.status in ("vacuous", "untested"):
            yield Finding(code=f"{criterion.status}-criterion", path=criterion.id, message=criterion.message)
    if not any(criterion.status in ("passed", "failed") for criterion in judged):
        yield Finding(code="nothing-proven", message="no criterion is shown to be met by this change")


def about_run(where: str, run: TestRun) -> Iterator[Finding]:
    """Find the reason why a run told nothing, if it did not."""
    if run.problem:
        yield Finding(code=run.problem, message=f"{where}, {PROBLEMS[run.problem]}")


@dataclass(frozen=True)
class _BaseCode:
    """Texts of the base commit, read once a rule asks for them."""

    repository: Repository
    commit: str
    files: Sequence[str]

    def has(self, rule: Rule) -> bool:
        """True if some file has a rule's words."""
        return any(rule.pattern.search(line) for text in self._texts for line in text.splitlines())

    def says(self, word: str) -> bool:
        """True if some file, tests and documentation included, has a word."""
        pattern = re.compile(rf"(?<![\w.]){re.escape(word)}(?!\w)")
        return any(pattern.search(text) for text in self._every_text)

    @cached_property
    def _every_text(self) -> list[str]:
        return list(texts(self.repository, self.commit, self.files).values())

    @cached_property
    def _texts(self) -> list[str]:
        product = [path for path in self.files if is_code(path) and not is_test_file(path) and not is_aside(path)]
        return list(texts(self.repository, self.commit, product).values())


@dataclass(frozen=True)
class _ProductWords:
    """Words of a change's product files, by which another file is named."""

    contents: Mapping[str, bytes]

    @classmethod
    def of(cls, product: Sequence[str], contents: Mapping[str, tuple[bytes | None, bytes | None]]) -> _ProductWords:
        """The words of the files as they are after the change."""
        return cls({path: contents[path][1] or b"" for path in product if is_code(path) and not is_aside(path)})

    @cached_property
    def _places(self) -> Mapping[bytes, Sequence[str]]:
        places: defaultdict[bytes, list[str]] = defaultdict(list)
        for path, content in self.contents.items():
            for word in set(_BYTES_WORD.findall(content)):
                places[word].append(path)
        return places

    def name(self, path: str) -> bool:
        """True if another product file of the change speaks of a file, by its name without ending."""
        stem = path.rpartition("/")[2].partition(".")[0].encode(errors="surrogateescape")
        words = _BYTES_WORD.findall(stem)
        others = self._places.get(max(words, key=len), ()) if words else list(self.contents)
        pattern = re.compile(rb"\b%s\b" % re.escape(stem))
        return any(pattern.search(self.contents[other]) for other in others if other != path)


def _about_product(contents: Mapping[str, tuple[bytes | None, bytes | None]]) -> Product:
    """Effect of a change on code and documentation, by path and content before and after."""
    words: tuple[set[str], set[str]] = (set(), set())
    defined: tuple[set[str], set[str]] = (set(), set())
    code = [path for path in contents if is_code(path) and not is_aside(path)]
    for path in code:
        for content, vocabulary, names in zip(contents[path], words, defined, strict=True):
            text = _COMMENT.sub("", (content or b"").decode(errors="replace"))
            vocabulary.update(_WORD.findall(text))
            names.update(_DEFINED.findall(text))
    return Product(
        is_touched=any(not _IDLE.fullmatch(path) and not is_aside(path) for path in contents),
        gone=frozenset((words[0] - words[1]) | (defined[0] - defined[1])),
        tells_of_removal=any(_tells_of_removal(*contents[path]) for path in contents if _PROSE.fullmatch(path)),
    )


def _tells_of_removal(before: bytes | None, after: bytes | None) -> bool:
    known = set((before or b"").splitlines())
    return any(_REMOVAL.search(line) for line in (after or b"").splitlines() if line not in known)


def _finding(code: str, path: str, message: str, severity: Severity | str) -> Finding:
    return Finding.model_validate({"code": code, "path": readable(path), "message": message, "severity": severity})
