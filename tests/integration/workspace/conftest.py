from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from phasegate.infra.workspace import Repository

if TYPE_CHECKING:
    from pathlib import Path


class UserRepository:
    """A person's repository, driven the way a person drives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists():
            return
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "ana@example.org")
        self.git("config", "user.name", "Ana")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(self.folder), *arguments], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode(errors="surrogateescape").strip()

    def commit(self, message: str = "More", **files: str) -> str:
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, content: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def state(self) -> tuple[object, ...]:
        """Everything that is the user's and must stay as it is."""
        files = {
            path.relative_to(self.folder): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        }
        shown = [self.git(*words) for words in (("status", "--porcelain"), ("stash", "list"), ("rev-parse", "HEAD"))]
        return files, shown, (self.folder / ".git/HEAD").read_bytes(), (self.folder / ".git/index").read_bytes()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = UserRepository(tmp_path_factory.mktemp("template") / "project")
    repository.commit("First", **{"app.py": "print('one')\n", "notes.txt": "a\nb\nc\n", ".gitignore": "*.log\n"})
    repository.write("app.py", "print('stashed')\n")
    repository.git("stash", "-q")
    repository.write("app.py", "print('staged')\n")
    repository.git("add", "app.py")
    repository.write("notes.txt", "a\nb\nc\nunstaged\n")
    repository.write("scratch.txt", "mine\n")
    return repository.folder


@pytest.fixture
def user(template: Path, tmp_path: Path) -> UserRepository:
    """A repository with history, a stash, a staged, an unstaged and an untracked change."""
    shutil.copytree(template, tmp_path / "project", symlinks=True)
    return UserRepository(tmp_path / "project")


@pytest.fixture
def repository(user: UserRepository) -> Repository:
    return Repository.open(user.folder)
