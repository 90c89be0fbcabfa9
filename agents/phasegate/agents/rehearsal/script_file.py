"""Reads a rehearsal script from YAML, and names file, line and key of each error.

Flows call it before a run starts. It must not know how a script is played.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from phasegate.agents.rehearsal.script import Script
from phasegate.infra.documents.bounds import DocumentBounds
from phasegate.infra.documents.yaml_text import Place, YamlDocument, read_yaml, spelled_place
from phasegate.infra.errors import DocumentUnreadable, ScriptError

MAX_BYTES = 4 * 1024 * 1024
_BOUNDS = DocumentBounds(size=MAX_BYTES, depth=60, values=100_000)
_SUPPORTED_VERSION = 1
_REMEDY = "`phasegate schema` prints what a script may hold."
_MESSAGES = {
    "dict_type": "must be a mapping",
    "extra_forbidden": "unknown key",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "missing": "this key is missing",
    "model_type": "must be a mapping",
    "string_type": "must be text (quote it)",
}


def load_script(path: Path) -> Script:
    """Read a script file.

    Raises:
        ScriptError: It cannot be read, is too long, is not UTF-8, or is not a script.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ScriptError(f"The script {path} cannot be read: {error.strerror or error}.", path=path) from error
    if len(content) > MAX_BYTES:
        raise ScriptError(f"The script {path} is longer than {MAX_BYTES // 1024**2} MiB.", path=path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ScriptError(f"The script {path} is not UTF-8 text (line {line}).", path=path, line=line) from error
    return read_script(text, str(path))


def read_script(text: str, source: str) -> Script:
    """Read a script from its YAML.

    Args:
        text: The YAML.
        source: What to call it in messages.

    Raises:
        ScriptError: The text is not a script; the message names line and key.
    """
    try:
        document = read_yaml(text, source, schema="json", bounds=_BOUNDS)
    except DocumentUnreadable as error:
        raise _error(source, error.line, error.key, f"bad YAML: {error.reason}") from error
    if document is None:
        raise ScriptError(f"The script {source} is empty.", remedy=_REMEDY)
    data = document.value
    if isinstance(data, dict) and "version" in data and data["version"] != _SUPPORTED_VERSION:
        message = f"version {data['version']!r} is not supported; this phasegate reads version {_SUPPORTED_VERSION}"
        raise _error(source, *_place(document, ["version"]), message)
    try:
        return Script.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = ["faults", first.get("ctx", {})["at"], "turn"] if first["type"] == "fault" else first["loc"]
        message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise _error(source, *_place(document, keys), message) from error


def _error(source: str, line: int | None, key: str, message: str) -> ScriptError:
    place = source + (f", line {line}" if line is not None else "") + (f", {key}" if key else "")
    return ScriptError(f"The script is invalid. {place}: {message}.", remedy=_REMEDY, path=source, line=line, key=key)


def _place(document: YamlDocument, keys: Sequence[int | str]) -> tuple[int, str]:
    """Line of the value at `keys`, or of the nearest value around it, and the keys as a person writes them.

    pydantic puts words of its own between the keys (`[key]`, `dict`, `list`); those are not in the file.
    """
    known: Place = ()
    shown: Place = ()
    for at, key in enumerate(keys):
        is_last = at == len(keys) - 1 and key != "[key]"
        is_known = (*known, key) in document.lines
        known = (*known, key) if is_known else known
        shown = (*shown, key) if is_known or is_last else shown
    return document.lines[known], spelled_place(shown)
