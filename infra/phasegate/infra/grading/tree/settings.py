"""Test settings that live in a file among other things: put back to the base commit's, and nothing else with them.

Called when the tree to grade is made. What it puts together is read again before it is used; where the two files'
shapes do not allow the exchange, the base commit's whole file is taken. It must not know what becomes of the file.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable, Collection
from typing import Any

from phasegate.infra.documents.json_text import read_json_table
from phasegate.infra.documents.toml_text import read_toml

_TOML = (
    ("tool", "pytest"),
    ("tool", "coverage"),
    ("tool", "tox"),
    ("tool", "nox"),
    ("project", "entry-points", "pytest11"),
)
_INI = re.compile(r"tool:pytest|pytest|coverage:.*|tox:.*|testenv.*|aliases|options\.entry_points")
_NODE = ("jest", "mocha", "ava", "vitest", "nyc", "c8", "tap")
_TEST_SCRIPT = re.compile(r"(?:pre|post)?test(?:[:.-].+)?")
_RUN_SCRIPT = re.compile(r"\b(?:npm|pnpm|yarn|bun)\s+(?:run(?:-script)?\s+)?(?:-\S+\s+)*([\w:.-]+)")
_HEADER = re.compile(r"^\s*+\[\[?+\s*+([^\]\n]++)\]\]?\s*+(?:#.*)?$")


def holds_settings(path: str) -> bool:
    """True if a file of this name holds test settings among other things."""
    return path.rpartition("/")[2] in _KINDS


def with_base_settings(path: str, before: bytes | None, after: bytes) -> bytes | None:
    """A changed file with the test settings it had at the base commit.

    Args:
        path: Relative to the repository's root.
        before: The file at the base commit, if there.
        after: The file in the change.

    Returns:
        The file to grade with, or `None` if the change left the settings as they were.
    """
    kind = _KINDS.get(path.rpartition("/")[2])
    if kind is None:
        return None
    settings, merged = kind
    old, new = _settings(settings, before or b""), _settings(settings, after)
    if new is not None and new == old:
        return None
    whole = before or b""
    content = merged((before or b"").decode(errors="replace"), after.decode(errors="replace")).encode()
    return content if _settings(settings, content) == old and old is not None else whole


def _settings(read: Callable[[str], Any], content: bytes) -> Any:
    """The settings a file holds, or `None` if it cannot be read."""
    try:
        return read(content.decode())
    except (ValueError, configparser.Error):  # the readers' and the decoder's own errors are ValueErrors
        return None


def _toml_settings(text: str) -> dict[str, Any]:
    document = read_toml(text, "pyproject.toml")
    return {".".join(keys): value for keys in _TOML if (value := _at(document, keys)) is not None}


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
    """The change's text with each section in question as at the base commit; one that it lacks comes last."""
    own: dict[str, str] = {}
    for header, text in _sections(before):
        if is_ours(header):
            own[header] = own.get(header, "") + text
    texts: list[str] = []
    for header, text in _sections(after):
        texts.append(own.pop(header, "") if is_ours(header) else text)
    kept, missing = "".join(texts), "".join(own.values())
    return kept if not missing else f"{kept.rstrip(chr(10))}\n\n{missing}"


def _sections(text: str) -> list[tuple[str, str]]:
    sections: list[tuple[str, str]] = [("", "")]
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header:
            sections.append((header[1].rstrip(), line))
        else:
            sections[-1] = (sections[-1][0], sections[-1][1] + line)
    return sections


def _node_settings(text: str) -> dict[str, Any]:
    document = read_json_table(text or "{}", "package.json")
    scripts = _scripts(document)
    mine = _test_scripts(scripts)
    return {key: document[key] for key in _NODE if key in document} | {"scripts": {key: scripts[key] for key in mine}}


def _node_merged(before: str, after: str) -> str:
    """The change's text, its order kept, with the base commit's test settings."""
    try:
        old, new = read_json_table(before or "{}", "package.json"), read_json_table(after, "package.json")
        old_scripts, new_scripts = _scripts(old), _scripts(new)
        scripts = _test_scripts(old_scripts) | _test_scripts(new_scripts)
        document = _exchanged({key: value for key, value in old.items() if key != "scripts"}, new, _NODE)
        if own := _exchanged(old_scripts, new_scripts, scripts):
            document["scripts"] = own
        else:
            document.pop("scripts", None)
    except (AttributeError, ValueError):
        return before
    indent = re.search(r"\n([ \t]+)\S", after)
    text = json.dumps(document, indent=indent[1] if indent else None, ensure_ascii=False)
    return text + ("\n" if after.endswith("\n") else "")


def _exchanged(old: dict[str, Any], new: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A table with some of its keys as they are in another one."""
    table = {key: old.get(key, value) if key in keys else value for key, value in new.items()}
    table = {key: value for key, value in table.items() if key not in keys or key in old}
    return table | {key: old[key] for key in keys if key in old and key not in table}


def _scripts(document: dict[str, Any]) -> dict[str, Any]:
    scripts: Any = document.get("scripts", {})
    if not isinstance(scripts, dict):
        raise ValueError("scripts is not an object")  # noqa: TRY004 - as above
    return scripts  # pyright: ignore[reportUnknownVariableType] - as above


def _test_scripts(scripts: dict[str, Any]) -> set[str]:
    """The scripts that `npm test` and its variants run, and those which these run by name."""
    names: set[str] = set()
    new = {name for name in scripts if _TEST_SCRIPT.fullmatch(name)}
    while new:
        names |= new
        named = {word for name in new for word in _RUN_SCRIPT.findall(str(scripts[name]))}
        new = {f"{when}{word}" for word in named for when in ("", "pre", "post")} & scripts.keys() - names
    return names


def _at(document: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as above
    return document  # pyright: ignore[reportUnknownVariableType] - as above


_KINDS: dict[str, tuple[Callable[[str], Any], Callable[[str, str], str]]] = {
    "pyproject.toml": (_toml_settings, _toml_merged),
    "setup.cfg": (_ini_settings, _ini_merged),
    "package.json": (_node_settings, _node_merged),
}
