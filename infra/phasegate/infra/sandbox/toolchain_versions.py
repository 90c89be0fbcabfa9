"""Versions of the toolchains that commands find on PATH: two equal answers mean equal tools.

Called by grading, which keeps what a setup command made for as long as they are equal. It must not know what is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from phasegate.infra.sandbox.environment import search_path

_ASKED = (
    ("python3", "--version"),
    ("python", "--version"),
    ("node", "--version"),
    ("go", "version"),
    ("cargo", "--version"),
)
"""Programs on PATH that may only choose another one, so that their own file does not tell the version."""
_FILES = (
    *("pip", "uv", "poetry", "npm", "pnpm", "yarn", "corepack", "rustc", "java", "mvn", "gradle", "ruby", "bundle"),
    *("php", "composer", "dotnet", "gcc", "cc", "make", "cmake", "git"),
)
_PACKAGES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/lib/apk/db/installed", "/etc/os-release")
"""Lists of a system's packages, which change with each of them."""
_SECONDS = 20


def toolchain_versions() -> tuple[str, ...]:
    """Describe the interpreters, compilers and system packages that a command can use."""
    path = os.pathsep.join(search_path())
    programs = [(name, shutil.which(name, path=path)) for name in (*(name for name, _ in _ASKED), *_FILES)]
    files = tuple(_stamps(Path(place) for place in (*(place for _, place in programs if place), *_PACKAGES)))
    return (*files, *_asked_versions(path, files))


def _stamps(paths: Iterator[Path]) -> Iterator[str]:
    for path in paths:
        real = path.resolve()
        if real.is_file():
            about = real.stat()
            yield f"{path} {real} {about.st_ino} {about.st_size} {about.st_mtime_ns}"


@lru_cache(maxsize=8)
def _asked_versions(path: str, files: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG001 - another file, another answer
    """Versions as the programs say them; asked again once a file is another one."""
    environment = {"PATH": path, "HOME": str(Path.home())}
    versions: list[str] = []
    with tempfile.TemporaryDirectory(prefix="phasegate-versions-") as nowhere:
        for name, option in _ASKED:
            if program := shutil.which(name, path=path):
                try:
                    done = subprocess.run(
                        [program, option],
                        capture_output=True,
                        timeout=_SECONDS,
                        check=False,
                        env=environment,
                        cwd=nowhere,
                    )
                except (OSError, subprocess.TimeoutExpired):
                    continue  # a program that does not start sets nothing up either
                versions.append(f"{name} {done.stdout.decode(errors='replace').strip()}")
    return tuple(versions)
