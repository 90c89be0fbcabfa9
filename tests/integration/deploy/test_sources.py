"""A release's files: HEAD and tags for the setup command, and no history in what a service may hand out."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from phasegate.infra.deploy.service_folder import ServiceFolder
from phasegate.infra.deploy.sources import Sources
from phasegate.infra.workspace import Repository
from phasegate.infra.workspace.clone import clone


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


async def test_setup_knows_the_version_and_what_is_served_has_no_history(tmp_path: Path) -> None:
    top = tmp_path / "project"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (top / "app.py").write_text("one\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "One")
    git(top, "tag", "v1.2")
    git(top, "commit", "-qm", "Two", "--allow-empty")
    commit = git(top, "rev-parse", "HEAD")
    versions: list[str] = []

    async def prepare(source: Path) -> None:
        versions.append(git(source, "describe", "--tags"))

    folder = ServiceFolder(tmp_path / "home", "project")
    sources = Sources(folder, partial(clone, Repository.open(top)), prepare)
    source = await sources.ensure("r1", commit)
    assert versions == [f"v1.2-1-g{commit[:7]}"]
    assert (source / ".git").read_text() == "gitdir: ../git\n"
    assert git(source, "describe", "--tags") == versions[0]
    assert git(source, "status", "--porcelain") == ""
    assert await sources.ensure("r1", commit) == source
    await sources.drop("r1")
    assert not list(folder.release("r1").iterdir())
    assert await sources.ensure("r1", commit) == source
    assert versions == [versions[0]] * 2
