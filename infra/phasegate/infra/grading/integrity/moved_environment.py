"""Python environments of the plain process: those of a moved checkout name it, and others can be altered, too.

Called by `plain_run`. Editable installs and the first lines of installed scripts name the checkout by its whole path,
so what tests start as processes of their own would not be found from another place. It must not know what is compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import reduce
from itertools import chain
from pathlib import Path

from phasegate.infra.grading.runner.runner import Prepared
from phasegate.infra.grading.runner.stored_files import write_new
from phasegate.infra.sandbox.overlay import Mount, overlays_work

_ENVIRONMENTS = (".venv", "venv", "env")
_TOOLS = (".tox", ".nox")
"""Folders with an environment in each folder."""
TOOL_FOLDERS = (*_ENVIRONMENTS, *_TOOLS, "node_modules", "__pycache__")
"""Folders of what setup installs."""
_SITE = "lib/python*/site-packages"
_NAMED = ("bin/*", *(f"{_SITE}/{name}" for name in ("*.pth", "__editable__*.py", "*.egg-link", "*/direct_url.json")))
_LARGEST = 256 * 1024


def environments(ready: Prepared) -> list[str]:
    """Folders of Python environments in a checkout, as paths relative to it."""
    names = dict.fromkeys([*_ENVIRONMENTS, *(path for tool in _TOOLS for path in _found(ready, f"{tool}/*"))])
    return [name for name in names if os.path.lexists(ready.find(f"{name}/bin/python"))]


def relocate(ready: Prepared, top: Path, root: Path) -> None:
    """Alter environments, so that they name the place that a checkout is found at from now on.

    Files of a layer stay as they are: altered ones are written into the checkout, above them. What lies there is
    untrusted, so nothing is read or written through a link.

    Args:
        ready: The checkout; its folder is where it is now, and `inside` where it was when it was set up.
        top: Place of its environments, as commands find it.
        root: Place of its other files.
    """
    old = os.fsencode(ready.inside)
    moved = [
        (old + b"/%b/" % os.fsencode(name), os.fsencode(top) + b"/%b/" % os.fsencode(name))
        for name in environments(ready)
    ]
    moved.append((old, os.fsencode(root)))
    named = (_found(ready, f"{environment}/{name}") for environment in environments(ready) for name in _NAMED)
    for path in dict.fromkeys(chain.from_iterable(named)):
        content = _content(ready, path)
        if content is not None and old in content and b"\0" not in content:
            _replace(ready, path, reduce(lambda text, pair: text.replace(*pair), moved, content))


def alterable(program: str, report: Path) -> Mount | None:
    """Environment with pytest outside of the checkout, such that one process may alter it for itself.

    Args:
        program: Its interpreter, as commands find it.
        report: Folder of the checkout's report; a neighbour takes what is written.

    Returns:
        The mount; `None`: there is no such environment, or no mount can be made.
    """
    prefix, written = Path(program).parent.parent, report.with_name("tools")
    if not Path(program).is_absolute() or not any(prefix.glob("lib/python3*/site-packages/_pytest")):
        return None
    written.mkdir(exist_ok=True)
    return Mount(written, (prefix,)) if overlays_work(written) else None


def _found(ready: Prepared, pattern: str) -> Iterator[str]:
    """Paths in a checkout that match a pattern, in its own folder or in a layer's."""
    for place in (ready.folder, *([ready.beneath] if ready.beneath else [])):
        yield from (str(path.relative_to(place)) for path in place.glob(pattern))


def _content(ready: Prepared, path: str) -> bytes | None:
    """The bytes of a file that may be altered; `None`: it is a link, lies behind one, is no file, or is too large."""
    place = ready.find(path)
    top = ready.folder if place.is_relative_to(ready.folder) else ready.beneath
    above = [place, *place.parents]
    if top is None or any(folder.is_symlink() for folder in above[: above.index(top)]):
        return None
    if not place.is_file() or place.stat().st_size > _LARGEST:
        return None
    return place.read_bytes()


def _replace(ready: Prepared, path: str, content: bytes) -> None:
    """Replace a file of the checkout by a new one, with the mode it has."""
    mode, place = ready.find(path).stat().st_mode & 0o777, ready.folder / path
    parents = [parent for parent in place.parents if parent != ready.folder and parent.is_relative_to(ready.folder)]
    if any(parent.is_symlink() for parent in parents):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    write_new(place, content, mode)
