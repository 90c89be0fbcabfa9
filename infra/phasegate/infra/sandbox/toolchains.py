"""Toolchains: the folders that a command must see for the programs on PATH to work, and no others.

Called by the bubblewrap backend. Compilers and interpreters live in homes, too (pyenv, cargo, virtual environments):
of such a place only the toolchain's own folder is shown. It must not know how a folder is shown.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from phasegate.infra.sandbox.environment import search_path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap")
"""Folders that every command sees, read-only, where they exist."""
_SHARED = ("", ".local", ".local/share", ".local/state", ".config", ".cache", "snap")
_HOPS = 16
_PARTS = ("lib", "lib32", "lib64", "libx32", "libexec", "include", "share")
"""Folders beside a folder of programs that these read."""
_FURTHER_PARTS = {
    "pyvenv.cfg": ("pyvenv.cfg",),
    "jmods": ("jmods", "conf", "legal", "release"),
    "boot": ("boot", "conf"),
    "pkg/tool": ("pkg", "src", "misc", "VERSION", "go.env"),
    "conda-meta": ("conda-meta", "condabin", "compiler_compat", "envs", "etc", "pkgs", "ssl"),
}
"""Further parts of a toolchain, by the mark of its kind: virtual environments, Java, Maven, Go, Conda."""
_PROJECT_MARKS = (".git", ".hg", ".svn", ".env", ".envrc")
"""Entries by which a folder of programs is a project's: of it the programs alone are shown."""
_MANAGED = frozenset(
    {
        *(
            ".asdf",
            ".bun",
            ".cache",
            ".cargo",
            ".conda",
            ".deno",
            ".dotnet",
            ".fnm",
            ".ghcup",
            ".goenv",
            ".jenv",
            ".local",
        ),
        *(".linuxbrew", ".mise", ".nodenv", ".nvm", ".opam", ".pixi", ".poetry", ".pyenv", ".rbenv", ".rustup", ".rye"),
        *(".sdkman", ".tfenv", ".tox", ".nox", ".venv", ".virtualenvs", ".volta"),
    }
)
"""Folders that hold toolchains and nothing of a project's."""


def toolchains() -> list[Path]:
    """The folders outside the system's own that hold what PATH and the running interpreter need."""
    search_folders = [*map(Path, search_path()), Path(sys.executable).parent]
    folders: dict[Path, None] = {}
    for prefix in (Path(sys.prefix), Path(sys.base_prefix)):
        folders |= dict.fromkeys(_shown_for(prefix / "bin"))
    for folder in search_folders:
        for programs in (folder, *_linked_from(folder)):
            folders |= dict.fromkeys(_shown_for(programs))
    if any((folder / "rustup").exists() for folder in search_folders) and rustup_home().is_dir():
        folders[rustup_home()] = None
    return _outermost(folder for folder in folders if not _is_system(folder))


def rustup_home() -> Path:
    """Folder in which rustup keeps the compilers that its proxies on PATH start."""
    return Path(os.environ.get("RUSTUP_HOME") or _own_home() / ".rustup")


def is_private(folder: Path) -> bool:
    """True if a folder holds more than a toolchain: a home, a folder above one, or one that many programs share."""
    homes = {Path.home(), _own_home(), Path("/root"), *Path("/home").glob("*")}
    shared = {home / name for home in homes for name in _SHARED}
    above = {parent for home in homes for parent in home.parents}
    return folder in shared | above | {Path("/tmp"), Path("/var/tmp"), Path("/run")}  # noqa: S108 - to keep them out


def _shown_for(programs: Path) -> Iterator[Path]:
    """The folders to show for a folder of programs: itself and the parts of its prefix, or the prefix of a toolchain.

    A folder that has more beside its programs is a project's, with secrets of its own.
    """
    prefix = programs.parent
    marks = [mark for mark in _FURTHER_PARTS if (prefix / mark).exists()]
    has_prefix = bool(marks) or any((prefix / name).exists() for name in ("lib", "libexec"))
    if has_prefix and not is_private(prefix):
        if not _MANAGED.isdisjoint(prefix.parts):
            yield prefix
            return
        names = (*_PARTS, *(name for mark in marks for name in _FURTHER_PARTS[mark]))
        parts = [prefix / name for name in names if (prefix / name).exists()]
        yield from (part for part in parts if not is_private(part.resolve()))
    if any((programs / mark).exists() for mark in _PROJECT_MARKS):
        yield from (program for program in programs.iterdir() if program.is_file() and os.access(program, os.X_OK))
    elif programs.is_dir() and not is_private(programs):
        yield programs


def _linked_from(folder: Path) -> Iterator[Path]:
    """The folders that a folder's programs are links to, each step of the way."""
    if _is_system(folder) or not folder.is_dir():
        return
    for program in folder.iterdir():
        for _ in range(_HOPS):
            if not program.is_symlink():
                break
            program = Path(os.path.normpath(program.parent / program.readlink()))  # noqa: PLW2901 - a walk
            yield program.parent


def _is_system(folder: Path) -> bool:
    return any(folder.is_relative_to(system) for system in SYSTEM)


def _outermost(folders: Iterable[Path]) -> list[Path]:
    outermost: list[Path] = []
    for folder in sorted(set(folders)):
        if not any(folder.is_relative_to(other) for other in outermost):
            outermost.append(folder)
    return outermost


def _own_home() -> Path:
    """The user's home as accounts tell it, wherever HOME points."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)
