"""Reads a rehearsal script from YAML, and names file, line and key of each error.

Flows call it before a run starts. It must not know how a script is played.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from phasegate.agents.rehearsal.script import Script
from phasegate.infra.errors import ScriptError

MAX_BYTES = 4 * 1024 * 1024
_SUPPORTED_VERSION = 1
_REMEDY = "`phasegate schema` prints what a script may hold."
_MESSAGES = {
    "dict_type": "must be a mapping",
    "extra_forbidden": "unknown key",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "missing": "this key is missing",
    "model_type": "must be a mapping",
    "recursion_loop": "holds itself",
    "string_type": "must be text (quote it)",
}


class _Loader(yaml.SafeLoader):
    """YAML whose plain values are those of JSON: `2026-11-22`, `on` and `no` are text."""


_NOT_JSON = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_JSON]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first in "tf":
    _Loader.yaml_implicit_resolvers[_first].append(("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$")))


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
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise ScriptError(f"The script {source} is empty.", remedy=_REMEDY)
            _refuse_duplicates(root, source)
            data: object = loader.construct_document(root)  # pyright: ignore[reportUnknownMemberType]  # untyped stub
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(source, mark.line + 1 if mark else None, "", f"bad YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _error(source, None, "", f"bad YAML: {error}") from error
    if isinstance(data, dict) and "version" in data and data["version"] != _SUPPORTED_VERSION:
        message = f"version {data['version']!r} is not supported; this phasegate reads version {_SUPPORTED_VERSION}"
        raise _error(source, *_place(root, ["version"]), message)
    try:
        return Script.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = ["faults", first.get("ctx", {})["at"], "turn"] if first["type"] == "fault" else first["loc"]
        message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise _error(source, *_place(root, keys), message) from error


def _error(source: str, line: int | None, key: str, message: str) -> ScriptError:
    place = source + (f", line {line}" if line is not None else "") + (f", {key}" if key else "")
    return ScriptError(
        f"The script does not hold. {place}: {message}.", remedy=_REMEDY, path=source, line=line, key=key
    )


def _refuse_duplicates(root: yaml.Node, source: str) -> None:
    """YAML lets a later key replace an earlier one in silence, and with it a whole stage."""
    for mapping in _mappings(root):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _error(source, key.start_mark.line + 1, key.value, "this key is given twice")
                seen.add(key.value)


def _mappings(root: yaml.Node) -> Iterator[yaml.MappingNode]:
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias, which may even be of a node around it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting.extend(child for pair in node.value for child in pair)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _place(root: yaml.Node, keys: Sequence[int | str]) -> tuple[int, str]:
    """Line of the value at `keys`, or of the nearest value around it, and the keys as a person writes them.

    pydantic puts words of its own between the keys (`[key]`, `dict`, `list`); those are not in the file.
    """
    node, line, spelled = root, root.start_mark.line, ""
    for at, key in enumerate(keys):
        is_last = at == len(keys) - 1 and key != "[key]"
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node, spelled = node.value[key], f"{spelled}[{key}]"
            line = node.start_mark.line
            continue
        pair = _pair(node, str(key))
        if pair is not None:
            line, node = pair[0].start_mark.line, pair[1]
        if pair is not None or is_last:
            spelled = f"{spelled}.{key}"
    return line + 1, spelled.lstrip(".")


def _pair(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return name, value
    return None
