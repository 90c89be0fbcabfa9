"""Place of a checkout as a package manager leaves it: below another folder, and without what no package carries.

Called by `plain_run`. A checkout's content is untrusted, so no link is followed. It must not know what is compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from phasegate.infra.documents.toml_text import toml_table_or_empty
from phasegate.infra.grading.integrity.go_imports import read_source
from phasegate.infra.grading.integrity.moved_environment import TOOL_FOLDERS
from phasegate.infra.grading.runner.stored_files import write_new
from phasegate.infra.system.trees import remove_tree

_SOURCES = "src"
_NOT_CARRIED = re.compile(
    r"pyproject\.toml|setup\.(?:py|cfg)|(?:tox|pytest|mypy)\.ini|noxfile\.py|MANIFEST\.in|[Mm]akefile|Justfile|justfile"
    r"|[\w-]*requirements[\w.-]*\.(?:txt|in)|Pipfile(?:\.lock)?|(?:poetry|uv|pdm|yarn)\.lock|environment\.ya?ml"
    r"|package-lock\.json|pnpm-[\w-]+\.yaml|(?:lerna|nx|turbo|jsr)\.json|bun\.lockb?"
    r"|(?:jest|vitest|vite|webpack|rollup|eslint|prettier|karma|playwright|cypress|tsup|ava|commitlint)\.config\.\w+"
    r"|(?:README|CHANGELOG|CHANGES|CONTRIBUTING|SECURITY)(?:\.\w+)?|(?:Docker|Vagrant|Jenkins)file|docker-compose\.ya?ml"
    r"|\.(?!env|babelrc|swcrc)\w.*"
)
"""Name at the top of a project that neither wheels nor packages of npm have, as a rule."""
_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg", "package.json", "tsconfig.json")
"""Files at the top of a project, or of one of several in a repository."""
_NAME, _VERSION = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"), re.compile(r"[\w.+!-]+")
_ENTRY_GROUPS = {"scripts": "console_scripts", "gui-scripts": "gui_scripts"}


@dataclass(frozen=True)
class InstalledLayout:
    """Way in which a checkout is laid.

    Attributes:
        place: Folder for it, below its present one; empty: it stays.
        named: Text of tests and of the product on the base commit; files that it names are kept.
        removes_files: True to leave out what no package carries, and test files.
    """

    place: str
    named: str
    removes_files: bool

    def lay(self, folder: Path, changed: Sequence[str], tests: Collection[str]) -> Sequence[str]:
        """Move a checkout, and remove what packages do not carry; environments and packages of others stay.

        Args:
            folder: The checkout.
            changed: Paths of product files that the change has.
            tests: Paths of test files, whose texts are at hand.

        Returns:
            Paths of the changed files from then on, relative to the place.
        """
        projects = list(_projects(folder, changed))
        described = _description(folder) if self.place.endswith("-packages") else {}
        if self.place:
            _move(folder, folder / self.place)
        root = folder / self.place
        if self.removes_files:
            self._remove(root, projects, tests)
        _write(root, described)
        return self._raised(root, changed) if self.place.endswith("-packages") else changed

    def _remove(self, root: Path, projects: Collection[str], tests: Collection[str]) -> None:
        for project in projects:
            for entry in list(os.scandir(root / project)):
                if (
                    _NOT_CARRIED.fullmatch(entry.name)
                    and entry.name not in TOOL_FOLDERS
                    and not self._names(entry.name)
                ):
                    _delete(entry)
        for path in tests:
            place = root / path
            if _is_own(root, place) and place.is_file():
                place.unlink()
                _remove_empty(root, place.parent)

    def _raised(self, root: Path, changed: Sequence[str]) -> Sequence[str]:
        """Move packages below `src` to the top where nothing names that folder, and return the changed files' paths."""
        sources = root / _SOURCES
        if not _is_own(root, sources / "x") or not sources.is_dir() or (sources / "__init__.py").exists():
            return changed
        entries = list(os.scandir(sources))
        if any(os.path.lexists(root / entry.name) for entry in entries) or re.search(r"[\"'/]src[\"'/]", self.named):
            return changed
        for entry in entries:
            Path(entry.path).rename(root / entry.name)
        sources.rmdir()
        return [path.removeprefix(f"{_SOURCES}/") for path in changed]

    def _names(self, name: str) -> bool:
        return name in self.named


def _projects(folder: Path, changed: Sequence[str]) -> Iterator[str]:
    """Folders of projects that changed files belong to, relative to the checkout; its own comes first."""
    yield ""
    above = dict.fromkeys(str(parent) for path in changed for parent in Path(path).parents if parent != Path())
    for place in above:
        if _is_own(folder, folder / place / "x") and any((folder / place / name).is_file() for name in _PROJECTS):
            yield place


def _move(folder: Path, place: Path) -> None:
    """Move all that a checkout holds into a folder below it, but for what tools keep at its top."""
    holder = folder / f"{place.name}.moved"
    holder.mkdir()
    for entry in list(os.scandir(folder)):
        if entry.name not in (holder.name, *TOOL_FOLDERS):
            Path(entry.path).rename(holder / entry.name)
    place.parent.mkdir(parents=True)
    holder.rename(place)


def _write(root: Path, files: Mapping[str, str]) -> None:
    """Write files into folders that are not there yet."""
    for parent in {(root / path).parent for path in files}:
        if os.path.lexists(parent):
            return
        parent.mkdir()
    for path, text in files.items():
        write_new(root / path, text.encode())


def _is_own(root: Path, place: Path) -> bool:
    """True if no folder above a place, up to the root, is a link."""
    parents = [parent for parent in place.parents if parent != root and parent.is_relative_to(root)]
    return ".." not in place.parts and not any(parent.is_symlink() for parent in parents) and not place.is_symlink()


def _delete(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        remove_tree(Path(entry.path), ignore_errors=True)
    else:
        Path(entry.path).unlink()


def _remove_empty(root: Path, folder: Path) -> None:
    while folder != root and not os.listdir(folder):  # noqa: PTH208  no iterator stays open
        folder.rmdir()
        folder = folder.parent


def _description(folder: Path) -> dict[str, str]:
    """Files by which Python knows an installed distribution; none where the project does not tell name and version."""
    document = toml_table_or_empty(read_source(folder / "pyproject.toml"), "pyproject.toml")
    match document.get("project"):
        case {"name": str(name), "version": str(version)} if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            place = f"{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info"
        case _:
            return {}
    return {
        f"{place}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{place}/INSTALLER": "pip\n",
        f"{place}/RECORD": f"{place}/METADATA,,\n{place}/INSTALLER,,\n{place}/RECORD,,\n",
        f"{place}/entry_points.txt": "".join(_entry_points(document["project"])),
    }


def _entry_points(project: dict[str, Any]) -> Iterator[str]:
    groups = {name: project.get(key) for key, name in _ENTRY_GROUPS.items()} | dict(project.get("entry-points") or {})
    for group, entries in groups.items():
        if isinstance(entries, dict):
            lines = (f"{name} = {value}\n" for name, value in cast("dict[str, Any]", entries).items())
            yield f"[{group}]\n{''.join(lines)}\n"
