"""The tree that is graded: the change's, with tests, test settings and CI as they are on the base commit.

Called by `grade` and by ablation, which takes a piece out of it. It must not know how tests are run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from phasegate.infra.grading.added import Hunk, hunks
from phasegate.infra.grading.settings import holds_settings, with_base_settings
from phasegate.infra.grading.test_files import is_test_file, named_in
from phasegate.infra.policy.model import Policy
from phasegate.infra.workspace import ChangeSet, Repository
from phasegate.infra.workspace.git import Git, null_terminated
from phasegate.infra.workspace.snapshot import reinstate


@dataclass(frozen=True)
class GradedTree:
    """What the tests are run on."""

    tree: str
    """Its id."""
    restored: frozenset[str] = frozenset()
    """Paths the change touched that are the base commit's again."""
    resettled: frozenset[str] = frozenset()
    """Paths whose test settings alone are the base commit's again."""
    commands: frozenset[str] = field(default=frozenset())
    """Files that the setup or test command names."""

    def belongs_to_tests(self, path: str) -> bool:
        """Whether a path is the tests' own, so that nothing of the change may decide what is in it."""
        return is_test_file(path) or path in self.commands or path in self.resettled


def graded_tree(repository: Repository, change: ChangeSet, policy: Policy) -> GradedTree:
    """Take back what a change did to the tests.

    Effects: a tree and at most a few blobs in the repository's object store; no ref, so git clears them away in time.
    """
    base_files = repository.files(change.base_commit)
    commands = named_in(policy.project.test, base_files) | named_in(policy.project.setup, base_files)
    paths = repository.changed(change.base_commit, change.commit)
    # git's attributes decide how the tests are written to a checkout
    attributes = {path for path in paths if path.rpartition("/")[2] == ".gitattributes"}
    restored = attributes | {path for path in paths if is_test_file(path) or path in commands}
    resettled: dict[str, bytes] = {}
    for path in paths:
        if path not in restored and holds_settings(path):
            before, after = (repository.read_file(commit, path) for commit in (change.base_commit, change.commit))
            if after is not None and (content := with_base_settings(path, before, after)) is not None:
                resettled[path] = content
    tree = tree_with(repository, change.commit, resettled, base=change.base_commit, reinstated=restored)
    return GradedTree(tree, frozenset(restored), frozenset(resettled), frozenset(commands))


def product_hunks(repository: Repository, base: str, graded: GradedTree) -> Iterator[Hunk]:
    """The pieces of a change, without what was taken back of it."""
    for path, letter in repository.changed(base, graded.tree).items():
        yield from hunks(repository, base, graded.tree, path, letter)


def tree_with(
    repository: Repository,
    tree: str,
    contents: Mapping[str, bytes],
    *,
    base: str = "",
    reinstated: Iterable[str] = (),
    removed: Iterable[str] = (),
) -> str:
    """A tree like another, but for some files.

    Args:
        repository: Holds both.
        tree: A commit or tree.
        contents: Path to new content, of files that are there.
        base: Where `reinstated` paths come from.
        reinstated: Paths that are to be as in `base`, missing ones included.
        removed: Paths that are not to be in it.
    """
    with repository.private_index(repository.top) as git:
        git.output("read-tree", tree)
        if wanted := list(reinstated):
            reinstate(git, base, wanted)
        entries = [_entry(git, path, content) for path, content in contents.items()]
        entries += [f"0 {'0' * 40}\t{path}" for path in removed]
        git.output("update-index", "-z", "--add", "--index-info", stdin=null_terminated(entries))
        return git.line("write-tree")


def _entry(git: Git, path: str, content: bytes) -> str:
    staged = git.records("ls-files", "-z", "--stage", "--", f":(literal,top){path}")
    mode = staged[0].split(" ", 1)[0] if staged else "100644"
    return f"{mode} {git.line('hash-object', '-w', '--no-filters', '--stdin', stdin=content)}\t{path}"
