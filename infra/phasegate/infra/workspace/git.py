"""The one place that runs git, so that no repository and no agent can make git run anything else.

Called by the rest of this room. Everything a repository or its owner could have configured to execute (hooks,
fsmonitor, filters, merge drivers, pagers, helpers) is off, and only explicit git directories are used: what an agent
wrote to a folder's `.git` is never read. An object is what its id names: replacements, grafts and commit graphs are
ignored. It must not know what the commands are for.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from phasegate.infra.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NAME, EMAIL = "phasegate", "phasegate@localhost"

_SETTINGS = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.attributesFile": "/dev/null",
    "core.commitGraph": "false",  # it may name another tree or parent than the commit's own object does
    "core.editor": ":",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "core.useReplaceRefs": "false",  # a repository that sets it to true would outweigh GIT_NO_REPLACE_OBJECTS
    "credential.helper": "",
    "diff.external": "",
    "gc.auto": "0",
    "gpg.program": "false",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "rerere.enabled": "false",
    "safe.directory": "*",  # git's own check has passed under the user's settings when the repository was opened
    "submodule.recurse": "false",
}


@dataclass(frozen=True)
class Git:
    """git on one git directory, and, where a command needs them, one work tree and one index.

    Paths are `str` as `os.fsdecode` makes them, so that a name that is not UTF-8 survives.
    """

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    store: Path | None = None
    """A folder of objects that are written there instead of here; what is here is read as before."""
    overrides: tuple[tuple[str, str], ...] = ()

    @classmethod
    def at(cls, git_dir: Path) -> Self:
        """Git on this directory, with every command that its configuration names taken out of effect."""
        plain = cls(git_dir)
        return replace(plain, overrides=tuple(_neutralised(plain.records("config", "--list", "--name-only", "-z"))))

    def on(self, work_tree: Path, index: Path) -> Git:
        """The same with a work tree and an index."""
        return replace(self, work_tree=work_tree, index=index)

    def storing_in(self, store: Path) -> Git:
        """The same, with new objects made in another folder, which may be on another file system."""
        return replace(self, store=store)

    def attempt(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run git where a non-zero exit is an answer.

        Raises:
            RepositoryError: There is no git on this machine.
        """
        return run_git(arguments, self._environment(), self.work_tree or self.git_dir, stdin)

    def output(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run git and return the bytes it wrote.

        Raises:
            RepositoryError: git failed; with git's own message.
        """
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise RepositoryError(f"git {arguments[0]} failed: {failure_message(done)}", git_dir=self.git_dir)
        return done.stdout

    def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start git for a command that answers as long as it is asked; the caller ends it.

        Raises:
            RepositoryError: There is no git on this machine.
        """
        try:
            return subprocess.Popen(
                ["git", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
                cwd=self.work_tree or self.git_dir,
            )
        except OSError as error:
            raise _cannot_run(error) from error

    def line(self, *arguments: str, stdin: bytes = b"") -> str:
        """As `output`, for a command that answers one line, decoded as file names are."""
        return os.fsdecode(self.output(*arguments, stdin=stdin)).rstrip("\n")

    def lines(self, *arguments: str, stdin: bytes = b"") -> list[str]:
        """As `line`, for a command that answers several: only a line feed ends one, since names may hold the rest."""
        return [line for line in self.line(*arguments, stdin=stdin).split("\n") if line]

    def records(self, *arguments: str, stdin: bytes = b"") -> list[str]:
        """As `output`, for a command that writes NUL-terminated records (`-z`), decoded as file names are."""
        written = os.fsdecode(self.output(*arguments, stdin=stdin)).removesuffix("\0")
        return written.split("\0") if written else []

    def resolve(self, name: str) -> str | None:
        """The object that a ref or a commit names, if there is one."""
        done = self.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def tree_of(self, commit: str) -> str:
        """The tree a commit records."""
        return self.line("rev-parse", "--verify", f"{commit}^{{tree}}")

    def write_commit(self, tree: str, parents: Sequence[str], message: str, *, at: str = "") -> str:
        """Write a commit with phasegate's identity; no ref moves.

        Args:
            tree: Its tree.
            parents: Its parents.
            message: Its message.
            at: A commit whose time it gets, so that writing it again gives the same commit; empty: the time is now.
        """
        words = [word for parent in parents for word in ("-p", parent)]
        if at:
            who = f"{NAME} <{EMAIL}> {self.line('log', '-1', '--format=%ct', at, '--')} +0000"
            lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
            text = "\n".join([*lines, "", message]).encode(errors="replace")
            return self.line("hash-object", "-t", "commit", "-w", "--stdin", stdin=text)
        return self.line("commit-tree", tree, *words, "-F", "-", stdin=message.encode(errors="replace"))

    def _environment(self) -> dict[str, str]:
        settings = (*_SETTINGS.items(), *self.overrides)
        environment = clean_environment() | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_DIR": str(self.git_dir),
        }
        for number, (key, value) in enumerate(settings):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        if self.work_tree:
            environment["GIT_WORK_TREE"] = str(self.work_tree)
        if self.index:
            environment["GIT_INDEX_FILE"] = str(self.index)
        if self.store:
            own = replace(self, store=None).line("rev-parse", "--path-format=absolute", "--git-path", "objects")
            escaped = own.replace("\\", "\\\\").replace('"', '\\"')
            environment |= {"GIT_OBJECT_DIRECTORY": str(self.store), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{escaped}"'}
        return environment


def clean_environment() -> dict[str, str]:
    """Environment for git: none of the caller's own git variables, no prompts, one language."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "XDG_CONFIG_HOME") if name in os.environ}
    return variables | {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_ASKPASS": "false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_AUTHOR_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_GRAFT_FILE": "/dev/null",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def run_git(
    arguments: Sequence[str], environment: dict[str, str], folder: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder, in an environment made ready for it.

    Raises:
        RepositoryError: There is no git on this machine, or the folder is not to be entered.
    """
    try:
        return subprocess.run(
            ["git", *arguments], input=stdin, capture_output=True, env=environment, cwd=folder, check=False
        )
    except OSError as error:
        raise _cannot_run(error) from error


def _cannot_run(error: OSError) -> RepositoryError:
    remedy = "Install git 2.38 or newer." if error.filename == "git" else ""
    return RepositoryError(f"git cannot run: {error}", remedy=remedy)


def failure_message(done: subprocess.CompletedProcess[bytes]) -> str:
    """Message of a git command that failed."""
    return done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"


def null_terminated(records: Iterable[str]) -> bytes:
    """Records as git reads them under `-z`."""
    return b"".join(os.fsencode(record) + b"\0" for record in records)


RUN_TRAILER = "Phasegate-Run"
"""Names the run in the commits made for it."""


def plain_message(text: str) -> str:
    """An untrusted text as a commit message that cannot pass for one of phasegate's own trailers."""
    return re.sub(r"(?im)^(?=\s*phasegate-[\w-]+\s*:)", "> ", text.replace("\0", "")).strip() + "\n"


def _neutralised(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Settings against the filters and merge drivers that a repository's configuration, includes too, defines."""
    for name in sorted(set(names)):
        if re.fullmatch(r"filter\..+\.(clean|smudge|process)", name, re.DOTALL):
            yield name, ""
        elif re.fullmatch(r"filter\..+\.required", name, re.DOTALL):
            yield name, "false"
        elif re.fullmatch(r"merge\..+\.driver", name, re.DOTALL):
            yield name, "git merge-file --marker-size=%L %A %O %B"
