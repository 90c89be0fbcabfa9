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
CREDENTIALS = (".netrc", ".npmrc", ".pypirc", ".git-credentials", "credentials", "credentials.toml")
"""Files that are not shown even in a toolchain's folder."""
_SHARED = ("", ".local", ".local/share", ".local/state", ".config", ".cache", "snap")
_HOPS = 16


def toolchains() -> list[Path]:
    """The folders outside the system's own that hold what PATH and the running interpreter need."""
    search_folders = [*map(Path, search_path()), Path(sys.executable).parent]
    folders: dict[Path, None] = {}
    folders |= {Path(prefix): None for prefix in (sys.prefix, sys.base_prefix) if not is_private(Path(prefix))}
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
    """The folder to show for a folder of programs: its prefix if it has one, else itself."""
    prefix = programs.parent
    has_prefix = any((prefix / name).exists() for name in ("pyvenv.cfg", "lib", "libexec"))
    if has_prefix and not is_private(prefix):
        yield prefix
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
