"""`list_files`, `read_file`, `write_file`, `edit_file`: files of the agent's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ConfigDict, Field

from phasegate.agents.tools.failure import ToolFailure
from phasegate.agents.tools.folder import Folder
from phasegate.infra.described import DescribedModel
from phasegate.infra.system.trees import walk

_LISTED = 400
_READ_LINES = 400
_READ_BYTES = 2 * 1024**2
_LINE_CHARACTERS = 2_000
_UNINTERESTING = frozenset(
    {".git", "__pycache__", "node_modules", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
)


class Arguments(DescribedModel):
    """Arguments of a tool; unknown ones are refused so that the model learns at once."""

    model_config = ConfigDict(extra="forbid")


class ListFiles(Arguments):
    """List files below a folder."""

    path: str = "."
    """Folder, relative to the repository's root."""


class ReadFile(Arguments):
    """Read a text file, with line numbers."""

    path: str
    """File, relative to the repository's root."""
    start_line: int = Field(default=1, ge=1)
    """First line to show."""
    end_line: int | None = None
    """Last line to show; by default 400 lines are shown."""


class WriteFile(Arguments):
    """Write a whole file; folders are made as needed."""

    path: str
    """File, relative to the repository's root."""
    content: str
    """The file's whole new content."""


class EditFile(Arguments):
    """Replace one passage of a file."""

    path: str
    """File, relative to the repository's root."""
    old: str = Field(min_length=1)
    """The passage as it stands; must occur exactly once."""
    new: str
    """What stands there afterwards."""


def list_files(folder: Folder, arguments: ListFiles) -> str:
    """The files below a folder, one a line, at most 400."""
    top = folder.inside(arguments.path)
    if not top.is_dir():
        raise ToolFailure(f"{arguments.path}: no such folder")
    names: list[str] = []
    for name in _walk(folder, top):
        if len(names) == _LISTED:
            names.append(f"… more than {_LISTED} files: list a folder further down")
            break
        names.append(name)
    return "\n".join(names) or "(no files)"


def read_file(folder: Folder, arguments: ReadFile) -> str:
    """Numbered lines of a text file."""
    lines = _text(folder, arguments.path).splitlines()
    last = min(len(lines), arguments.end_line or arguments.start_line + _READ_LINES - 1)
    if lines and arguments.start_line > len(lines):
        raise ToolFailure(f"{arguments.path} has {len(lines)} lines")
    shown = [
        f"{number:>5}  {line[:_LINE_CHARACTERS]}{'…' if len(line) > _LINE_CHARACTERS else ''}"
        for number, line in enumerate(lines[arguments.start_line - 1 : last], start=arguments.start_line)
    ]
    if last < len(lines):
        shown.append(f"… {len(lines) - last} more lines: read on with start_line={last + 1}")
    return "\n".join(shown) or "(empty file)"


def write_file(folder: Folder, arguments: WriteFile) -> str:
    """Write a file whole."""
    path = folder.inside(arguments.path)
    if path.is_dir():
        raise ToolFailure(f"{arguments.path} is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(arguments.content, encoding="utf-8", newline="")
    except (OSError, UnicodeEncodeError) as error:
        raise ToolFailure(f"{arguments.path}: {error}") from error
    return f"wrote {arguments.path} ({len(arguments.content.splitlines())} lines)"


def edit_file(folder: Folder, arguments: EditFile) -> str:
    """Replace the one occurrence of a passage."""
    content = _text(folder, arguments.path)
    count = content.count(arguments.old)
    if count != 1:
        hint = "read the file again and copy the passage as it stands" if not count else "give more lines around it"
        raise ToolFailure(f"{arguments.path}: `old` occurs {count} times, it must occur once; {hint}")
    changed = content.replace(arguments.old, arguments.new)
    folder.inside(arguments.path).write_text(changed, encoding="utf-8", newline="")
    line = content[: content.index(arguments.old)].count("\n") + 1
    return f"edited {arguments.path} at line {line}"


def _walk(folder: Folder, top: Path) -> Iterator[str]:
    for where, folders, files in walk(top):
        folders[:] = sorted(name for name in folders if name not in _UNINTERESTING)
        for file in sorted(files):
            if file != ".git":
                yield folder.name(Path(where) / file)


def _text(folder: Folder, name: str) -> str:
    path = folder.inside(name)
    if not path.is_file():
        raise ToolFailure(f"{name}: no such file")
    if path.stat().st_size > _READ_BYTES:
        raise ToolFailure(f"{name} is larger than 2 MiB: search in it instead")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ToolFailure(f"{name} is not a text file") from error
    except OSError as error:
        raise ToolFailure(f"{name}: {error.strerror}") from error
