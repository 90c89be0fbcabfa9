"""Test settings that live in a file among other things: taken back to the base commit's, and nothing else with them.

Called when the tree to grade is made. What it puts together is read again before it is used; where the two files'
shapes do not allow the exchange, the base commit's whole file is taken. It must not know what becomes of the file.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

_TOML = (
    ("tool", "pytest"),
    ("tool", "coverage"),
    ("tool", "tox"),
    ("tool", "nox"),
    ("project", "entry-points", "pytest11"),
)
_INI = re.compile(r"tool:pytest|pytest|coverage:.*|tox:.*|testenv.*|aliases|options\.entry_points")
_NODE = ("jest", "mocha", "ava", "vitest", "nyc", "c8", "tap")
_HEADER = re.compile(r"^\s*\[\[?\s*([^\]\n]+?)\s*\]\]?\s*(?:#.*)?$")


def holds_settings(path: str) -> bool:
    """Whether a file of this name holds test settings among other things."""
    return path.rpartition("/")[2] in _KINDS


def with_base_settings(path: str, before: bytes | None, after: bytes) -> bytes | None:
    """A changed file with the test settings it had at the base commit.

    Args:
        path: Relative to the repository's root.
        before: The file at the base commit, if there.
        after: The file in the change.

    Returns:
        The file to grade with; None where the change left the settings as they were.
    """
    kind = _KINDS.get(path.rpartition("/")[2])
    if kind is None:
        return None
    settings, merged = kind
    old, new = _settings(settings, before or b""), _settings(settings, after)
    if new is not None and new == old:
        return None
    whole = before or b""
    made = merged((before or b"").decode(errors="replace"), after.decode(errors="replace")).encode()
    return made if _settings(settings, made) == old and old is not None else whole


def _settings(read: Callable[[str], Any], content: bytes) -> Any:
    """The settings a file holds; None where it cannot be read."""
    try:
        return read(content.decode())
    except (ValueError, configparser.Error):  # TOML's, JSON's and the decoder's own errors are ValueErrors
        return None


def _toml_settings(text: str) -> dict[str, Any]:
    document = tomllib.loads(text)
    return {".".join(keys): found for keys in _TOML if (found := _at(document, keys)) is not None}


def _toml_merged(before: str, after: str) -> str:
    ours = [".".join(keys) for keys in _TOML]

    def is_ours(header: str) -> bool:
        plain = re.sub(r"[\"'\s]", "", header)
        return any(plain == own or plain.startswith(f"{own}.") for own in ours)

    return _sections_exchanged(before, after, is_ours)


def _ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    return parser


def _ini_settings(text: str) -> dict[str, Any]:
    parser = _ini(text)
    return {name: dict(parser.items(name)) for name in parser.sections() if _INI.fullmatch(name)}


def _ini_merged(before: str, after: str) -> str:
    return _sections_exchanged(before, after, lambda header: _INI.fullmatch(header) is not None)


def _sections_exchanged(before: str, after: str, is_ours: Callable[[str], bool]) -> str:
    """The change's text without the sections in question, and the base commit's at the end."""
    kept = "".join(text for header, text in _sections(after) if not is_ours(header))
    own = "".join(text for header, text in _sections(before) if is_ours(header))
    return kept if not own else f"{kept.rstrip(chr(10))}\n\n{own}"


def _sections(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = [("", "")]
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header:
            found.append((header[1], line))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def _node_settings(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text or "{}")
    if not isinstance(document, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - JSON has any shape
        raise ValueError("not an object")  # noqa: TRY004 - the document is unfit, as one that is no JSON
    return {key: document[key] for key in _NODE if key in document} | {"scripts": _test_scripts(document)}


def _node_merged(before: str, after: str) -> str:
    try:
        old, new = json.loads(before or "{}"), json.loads(after)
        scripts = {key: text for key, text in dict(new.get("scripts", {})).items() if "test" not in key}
        kept = {key: value for key, value in new.items() if key not in (*_NODE, "scripts")}
        kept |= {key: old[key] for key in _NODE if key in old}
        if scripts := scripts | _test_scripts(old):
            kept["scripts"] = scripts
    except (AttributeError, TypeError, ValueError):
        return before
    return json.dumps(kept, indent=2, ensure_ascii=False) + "\n"


def _test_scripts(document: dict[str, Any]) -> dict[str, Any]:
    scripts: Any = document.get("scripts", {})
    if not isinstance(scripts, dict):
        raise ValueError("scripts is not an object")  # noqa: TRY004 - as above
    return {key: text for key, text in scripts.items() if "test" in key}  # pyright: ignore[reportUnknownVariableType] - as above


def _at(document: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as above
    return document  # pyright: ignore[reportUnknownVariableType] - as above


_KINDS: dict[str, tuple[Callable[[str], Any], Callable[[str, str], str]]] = {
    "pyproject.toml": (_toml_settings, _toml_merged),
    "setup.cfg": (_ini_settings, _ini_merged),
    "package.json": (_node_settings, _node_merged),
}
