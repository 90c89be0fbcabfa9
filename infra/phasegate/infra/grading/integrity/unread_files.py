"""Files of a change that phasegate does not read, since they are past the bounds of its readers.

Called by `findings`. Graders pass over such a file, so the page names it. A file that is no Python or JSON at all is
none of them: whatever loads it tells that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from phasegate.infra.documents.json_text import read_json
from phasegate.infra.documents.python_source import read_python
from phasegate.infra.documents.toml_text import read_toml
from phasegate.infra.errors import DocumentUnreadable
from phasegate.infra.grading.evidence import Finding
from phasegate.infra.workspace.change_set import readable

_READERS: dict[str, Callable[[bytes, str], object]] = {
    ".py": read_python,
    ".pyi": read_python,
    "package.json": read_json,
    "pyproject.toml": read_toml,
}
"""Name or ending of a file to its reader."""


def about_unread_file(path: str, before: bytes | None, after: bytes | None) -> Iterator[Finding]:
    """Name a file of a change that is past a bound.

    Args:
        path: The file's.
        before: Its content on the base commit; past a bound there, too, it is worth a note.
        after: Its content in the change.
    """
    if bound := _bound(path, after):
        message = f"phasegate does not read it: {bound}"
        is_new = not _bound(path, before)
        yield Finding(
            code="file-not-read", path=readable(path), message=message, severity="suspicion" if is_new else "note"
        )


def _bound(path: str, content: bytes | None) -> str:
    """The bound that a file is past; empty if it is within all, is not read, or is malformed."""
    name = path.rpartition("/")[2]
    reader = _READERS.get(name) or _READERS.get(f".{name.rpartition('.')[2]}")
    if reader is None or content is None:
        return ""
    try:
        reader(content, path)
    except DocumentUnreadable as error:
        return "" if isinstance(error.__cause__, SyntaxError | ValueError) else error.reason
    return ""
