"""P10: git in a workspace runs nothing of the repository's choosing: not phasegate's own git, nor an agent's."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.infra.policy.model import SandboxPolicy
from phasegate.infra.sandbox import open_sandbox
from phasegate.infra.workspace import Repository, Workspace, merge, revert
from phasegate.infra.workspace.heads import publish_head

HOOKS = (
    *("applypatch-msg", "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-rebase", "post-checkout"),
    *("post-merge", "pre-push", "post-rewrite", "reference-transaction", "post-index-change", "fsmonitor-watchman"),
)
FILTER = '[filter "evil"]\n\tclean = {trip} cat\n\tsmudge = {trip} cat\n'
COMMIT = "echo y >> app.py; git commit -qam more"


@dataclass(frozen=True)
class Poison:
    """A way to make git run a command.

    Attributes:
        name: Its name.
        config: Added to the repository's configuration; `{trip}` runs, `{git}` is the git directory.
        fires: A person's command that sets it off, as proof that it works; empty if none works offline.
        files: Files below the git directory; executable.
        tracked: Files that are committed.
    """

    name: str
    config: str = ""
    fires: str = COMMIT
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    tracked: Mapping[str, str] = field(default_factory=dict[str, str])


ATTRIBUTES = {".gitattributes": "* filter=evil diff=evil merge=evil\n"}
POISONS = [
    Poison("hooks", files={f"hooks/{name}": "#!/bin/sh\n{trip} true\n" for name in HOOKS}),
    Poison(
        "a folder of hooks",
        "[core]\n\thooksPath = {git}/evil\n",
        files={f"evil/{name}": "#!/bin/sh\n{trip} true\n" for name in HOOKS},
    ),
    Poison("fsmonitor", "[core]\n\tfsmonitor = {trip} false\n", "git status"),
    Poison("an external diff", "[diff]\n\texternal = {trip} true\n", "echo y >> app.py; git diff"),
    Poison(
        "a diff driver",
        '[diff "evil"]\n\tcommand = {trip} true\n\ttextconv = {trip} cat\n',
        "echo y >> app.py; git diff",
        tracked=ATTRIBUTES,
    ),
    Poison("clean and smudge", FILTER, tracked=ATTRIBUTES),
    Poison(
        "a filter process, required",
        '[filter "evil"]\n\tprocess = {trip} false\n\trequired = true\n',
        "echo y >> app.py; git add -A; true",
        tracked=ATTRIBUTES,
    ),
    Poison("attributes beside the repository", FILTER, files={"info/attributes": "* filter=evil\n"}),
    Poison(
        "attributes of one's own", FILTER + "[core]\n\tattributesFile = {git}/own\n", files={"own": "* filter=evil\n"}
    ),
    Poison("an include", "[include]\n\tpath = more\n", files={"more": FILTER}, tracked=ATTRIBUTES),
    Poison(
        "an include for the run's branch",
        '[includeIf "onbranch:phasegate/**"]\n\tpath = more\n',
        "git checkout -q -b phasegate/x; " + COMMIT,
        files={"more": FILTER},
        tracked=ATTRIBUTES,
    ),
    Poison(
        "an include for worktrees",
        '[includeIf "gitdir:**/worktrees/**"]\n\tpath = {git}/more\n',
        "git worktree add -q ../w; cd ../w; " + COMMIT,
        files={"more": FILTER + "[core]\n\tfsmonitor = {trip} false\n"},
        tracked=ATTRIBUTES,
    ),
    Poison(
        "a worktree's own configuration",
        "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n",
        files={"config.worktree": FILTER + "[core]\n\tfsmonitor = {trip} false\n"},
        tracked=ATTRIBUTES,
    ),
    Poison(
        "a merge driver",
        '[merge "evil"]\n\tdriver = {trip} false\n[merge]\n\tdefault = evil\n',
        "git checkout -q -b o HEAD; echo o >> app.py; git commit -qam o; git checkout -q -; "
        + COMMIT
        + "; git merge o; :",
        tracked=ATTRIBUTES,
    ),
    Poison(
        "signatures",
        "[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = {git}/gpg\n[log]\n\tshowSignature = true\n"
        '[gpg "ssh"]\n\tprogram = {git}/gpg\n',
        COMMIT + "; true",
        files={"gpg": "#!/bin/sh\n{trip} true\n"},
    ),
    Poison(
        "a submodule",
        '[submodule "s"]\n\turl = ../s\n\tactive = true\n\tupdate = !{trip} true\n[submodule]\n\trecurse = true\n',
        "",
        tracked={".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = ../s\n'},
    ),
    Poison(
        "aliases, pagers and editors",
        "[alias]\n\tst = !{trip} true\n\tstatus = !{trip} true\n\tread-tree = !{trip} true\n"
        "[core]\n\tpager = {trip} cat\n\teditor = {trip} true\n[sequence]\n\teditor = {trip} true\n"
        "[pager]\n\tlog = {trip} cat\n\tdiff = {trip} cat\n",
        "git st",
    ),
    Poison(
        "a remote that is asked for what is missing",
        "[core]\n\trepositoryformatversion = 1\n\tsshCommand = {trip} false\n[extensions]\n\tpartialClone = o\n"
        '[remote "o"]\n\turl = ssh://u@127.0.0.1/x\n\tpromisor = true\n\tuploadpack = {trip} false\n'
        "[credential]\n\thelper = !{trip} true\n",
        "git cat-file -p 1111111111111111111111111111111111111111; true",
    ),
]


@dataclass(frozen=True)
class GitEnvironment:
    """A poisoned repository, and what tells that something ran."""

    top: Path
    state: Path

    @property
    def wire(self) -> Path:
        """Made by whatever runs, outside of a sandbox."""
        return self.top.parent / "tripwire"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(params=POISONS, ids=lambda poison: poison.name)
def poison(request: pytest.FixtureRequest) -> Poison:
    chosen: Poison = request.param
    return chosen


@pytest.fixture
def ground(tmp_path: Path, poison: Poison) -> GitEnvironment:
    made = GitEnvironment(tmp_path / "project", tmp_path / "state")
    made.top.mkdir()
    trip = f"touch {made.wire} {made.state / 'work' / 'tripped'}"
    git(made.top, "init", "-q", "-b", "main")
    (made.top / "app.py").write_text("x = 1\n")
    for name, content in poison.tracked.items():
        (made.top / name).write_text(content)
    git(made.top, "add", "-A")
    git(made.top, "commit", "-qm", "one")
    inside = made.top / ".git"
    for name, content in poison.files.items():
        (inside / name).parent.mkdir(exist_ok=True)
        (inside / name).write_text(content.replace("{trip}", trip))
        (inside / name).chmod(0o755)
    with (inside / "config").open("a") as config:
        config.write(poison.config.replace("{trip}", trip).replace("{git}", str(inside)))
    return made


def test_each_of_them_is_one(ground: GitEnvironment, poison: Poison) -> None:
    if poison.fires:
        subprocess.run(["sh", "-c", poison.fires], cwd=ground.top, check=False, capture_output=True)
        assert ground.wire.exists()


def test_git_of_phasegate_runs_none(ground: GitEnvironment) -> None:
    """Mutations tried: no `core.hooksPath`; no `core.fsmonitor`; `_neutralised` yields nothing; protocols allowed."""
    repository = Repository.open(ground.top)
    repository.is_dirty()
    base = repository.base()
    workspace = Workspace.create(repository, "r1", base.commit, ground.state / "work")
    (workspace.folder / "app.py").write_text("x = 2\n")
    (workspace.folder / "new.py").write_text("y = 2\n")
    first = workspace.checkpoint("implementation", 1)
    change = workspace.collect(base.commit, (), "A change")
    assert [file.path for file in change.files] == ["app.py", "new.py"]
    workspace.diff(base.commit, change.commit)
    (workspace.folder / "app.py").write_text("x = 3\n")
    workspace.restore(first)
    workspace.untouched()
    workspace.set_aside(1)
    made = merge(repository, change, "main", run_id="r1", key="merge", message="A change")
    revert(repository, made, "main", key="revert")
    publish_head(repository, "r1", 1, "sha256:" + "0" * 64)
    repository.export(change.commit, ground.state / "export")
    repository.read_file("1" * 40, "app.py")
    workspace.remove()
    assert not ground.wire.exists()
    assert not (ground.state / "work" / "tripped").exists()


async def test_git_of_an_agent_runs_none(ground: GitEnvironment) -> None:
    """Mutation tried: the repository's own configuration is shown."""
    repository = Repository.open(ground.top)
    workspace = Workspace.create(repository, "r1", repository.base().commit, ground.state / "work")
    sandbox = open_sandbox(SandboxPolicy(), ground.state)
    commands = (
        "git status; git diff; git log -p -1; git show HEAD:app.py; git add -A; git commit -m x; git stash; git fetch"
    )
    (workspace.folder / "app.py").write_text("x = 2\n")
    result = await sandbox.run(commands, folder=workspace.folder, timeout=timedelta(seconds=30))
    assert "app.py" in result.output
    assert not (workspace.folder / "tripped").exists()
    assert not ground.wire.exists()


def test_a_working_tree_of_the_user_s_own_runs_none(ground: GitEnvironment) -> None:
    """A person may work in a linked worktree, too."""
    linked = ground.top.with_name("linked")
    disarmed = ("-c", "core.hooksPath=", "-c", "filter.evil.required=false", "-c", "filter.evil.process=")
    git(ground.top, *disarmed, "worktree", "add", "-q", "-b", "linked", str(linked))
    (linked / "app.py").write_text("x = 3\n")
    ground.wire.unlink(missing_ok=True)
    repository = Repository.open(linked)
    assert repository.is_dirty()
    assert repository.base().branch == "linked"
    assert not ground.wire.exists()
