"""The tree that is graded and released: the change's product, with tests, test settings and CI of the base commit.

Called by `grade` and by ablation, which takes a piece out of it. It must not know how tests are run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from phasegate.infra.grading.tree.diff import Hunk, hunks
from phasegate.infra.grading.tree.loading import Load, is_loader
from phasegate.infra.grading.tree.patterns import is_test_file, may_enter, named_in
from phasegate.infra.grading.tree.roles import Roles
from phasegate.infra.grading.tree.settings import holds_settings, with_base_settings
from phasegate.infra.policy.model import Policy
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.git import Git, null_terminated
from phasegate.infra.workspace.snapshot import reinstate

_FILES = ("100644", "100755")


@dataclass(frozen=True)
class GradedTree:
    """Tree that the tests are run on."""

    tree: str
    """The id of a commit on top of the base commit that has it."""
    restored: frozenset[str] = frozenset()
    """Paths the change touched that are the base commit's again."""
    resettled: frozenset[str] = frozenset()
    """Paths whose test settings alone are the base commit's again."""
    commands: frozenset[str] = frozenset()
    """Files that the setup or test command names."""
    product: frozenset[str] = frozenset()
    """Paths the change touched that are named like tests and are product."""
    own_tests: frozenset[str] = frozenset()
    """Paths with base tests that may be released as the change has them, if the suite passes with them."""
    collected: frozenset[str] = frozenset()
    """Files under other names that the runner takes tests from on the base commit."""
    loaded: tuple[Load, ...] = ()
    """Test files that product code of the change loads, and of the base commit does not."""

    def belongs_to_tests(self, path: str) -> bool:
        """True if a path is the tests' own, so that nothing of the change may decide what is in it."""
        is_test = is_test_file(path) and path not in self.product
        return is_test or path in self.collected or path in self.commands or path in self.resettled


def graded_tree(
    repository: Repository, change: ChangeSet, policy: Policy, collected: Collection[str] = ()
) -> GradedTree:
    """Take back what a change did to the tests.

    Args:
        repository: Holds the change.
        change: What is graded.
        policy: Read from the base commit: its commands name files.
        collected: Files that the base commit's tests are reported from.

    Effects: a commit, a tree and at most a few blobs in the repository's object store; no ref, so git clears them away.
    """
    base_files = repository.files(change.base_commit)
    commands = named_in(policy.project.test, base_files) | named_in(policy.project.setup, base_files)
    paths = repository.changed(change.base_commit, change.commit)
    before = Roles(repository, change.base_commit, frozenset(collected))
    after = Roles(repository, change.commit)
    others = before.tests_under_other_names()
    tests = {path for path in paths if is_test_file(path) or path in others}
    new = {path for path in tests if paths[path] == "A"}
    product = (before.product(tests - new) | after.product(new, base=before)) - commands
    # git's attributes decide how the tests are written to a checkout
    attributes = {path for path in paths if path.rpartition("/")[2] == ".gitattributes"}
    restored = attributes | (tests - product) | (paths.keys() & commands)
    resettled: dict[str, bytes] = {}
    for path in paths:
        if path not in restored and holds_settings(path):
            old, fresh = (repository.read_file(commit, path) for commit in (change.base_commit, change.commit))
            if fresh is not None and (content := with_base_settings(path, old, fresh)) is not None:
                resettled[path] = content
    tree = commit_with(repository, change.commit, resettled, base=change.base_commit, reinstated=restored)
    loaded = tuple(_newly_loaded(before, after, paths.keys() - others, product))
    kept_out = {*attributes, *commands, *(load.path for load in loaded)}
    return GradedTree(
        tree,
        frozenset(restored),
        frozenset(resettled),
        frozenset(commands),
        frozenset(product),
        _entering(repository, change, [path for path in restored - kept_out if paths[path] in "AM"]),
        others,
        loaded,
    )


def with_own_tests(repository: Repository, base: str, graded: GradedTree, change: ChangeSet) -> str:
    """A graded tree with the change's own tests in it; the id of a commit on top of the base commit."""
    return commit_with(repository, graded.tree, {}, base=base, source=change.commit, reinstated=graded.own_tests)


def product_hunks(repository: Repository, base: str, graded: GradedTree) -> Iterator[Hunk]:
    """The pieces of a change, without what was undone of it, and without the tests that were amended."""
    letters = repository.changed(base, graded.tree)
    product = {path: letters[path] for path in letters if not is_test_file(path) or path in graded.product}
    for pieces in hunks(repository, base, graded.tree, product):
        yield from pieces


def commit_with(
    repository: Repository,
    tree: str,
    contents: Mapping[str, bytes],
    *,
    base: str,
    source: str = "",
    reinstated: Iterable[str] = (),
    removed: Iterable[str] = (),
) -> str:
    """A commit on top of the base commit with a tree like another's, but for some files; equal trees, equal commits.

    Args:
        repository: Holds both.
        tree: A commit or tree.
        contents: Path to new content.
        base: The base commit.
        source: Where `reinstated` paths come from; empty: the base commit.
        reinstated: Paths that are to be as in `source`, missing ones included.
        removed: Paths that are not to be in it.
    """
    with repository.private_index(repository.top) as git:
        git.output("read-tree", tree)
        if wanted := list(reinstated):
            reinstate(git, source or base, wanted)
        entries = [_entry(git, path, content) for path, content in contents.items()]
        entries += [f"0 {'0' * 40}\t{path}" for path in removed]
        git.output("update-index", "-z", "--add", "--index-info", stdin=null_terminated(entries))
        return git.write_commit(git.line("write-tree"), [base], "Graded tree\n", at=base)


def _newly_loaded(before: Roles, after: Roles, paths: Collection[str], product: Collection[str]) -> Iterator[Load]:
    named = [path for path in paths if is_loader(path) and (not is_test_file(path) or path in product)]
    if not named:
        return
    on_base = frozenset(before.tests())
    suspects = {
        load.path: load
        for load in after.loads_of(on_base | _new_tests(after, paths, product), product)
        if load.by in named
    }
    known = {load.path for load in before.loads_of(suspects)}
    yield from (load for path, load in sorted(suspects.items()) if path not in known)


def _new_tests(after: Roles, paths: Collection[str], product: Collection[str]) -> frozenset[str]:
    return frozenset(path for path in paths if is_test_file(path) and path not in product) & after.tests()


def _entering(repository: Repository, change: ChangeSet, paths: Collection[str]) -> frozenset[str]:
    """The files of a change's own tests that may enter its release; a link leads out of what is graded."""
    after, before = repository.modes(change.commit), repository.modes(change.base_commit)
    files = [path for path in paths if after.get(path) in _FILES and before.get(path, _FILES[0]) in _FILES]
    with repository.reading():
        contents = ((path, repository.read_file(change.commit, path) or b"") for path in files)
        return frozenset(path for path, content in contents if may_enter(path, content))


def _entry(git: Git, path: str, content: bytes) -> str:
    staged = git.records("ls-files", "-z", "--stage", "--", f":(literal,top){path}")
    mode = staged[0].split(" ", 1)[0] if staged else "100644"
    return f"{mode} {git.line('hash-object', '-w', '--no-filters', '--stdin', stdin=content)}\t{path}"
