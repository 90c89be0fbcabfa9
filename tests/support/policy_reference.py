"""docs/policy-keys.md, generated from the policy's model: `python -m tests.support.policy_reference`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phasegate.infra.policy.model import Policy

PAGE = Path(__file__).parents[2] / "docs" / "policy-keys.md"
_HEAD = """# Keys of phasegate.toml

Generated from `infra/phasegate/infra/policy` by `python -m tests.support.policy_reference`. [Policy](policy.md)
explains the tables. Each key may be left out, unless its default is *needed*. Durations are numbers of seconds or texts
such as `"90s"`, `"10m"`, `"7d"`; sizes are bytes or texts such as `"2GiB"`.
"""
_SPELLED = re.compile(r"(\d+)([DHMS])")


def page() -> str:
    """The page as it has to be."""
    schema = Policy.model_json_schema()
    parts, headings = [_HEAD], dict[str, str]()
    for name, table, is_list in _tables(schema["properties"], schema["$defs"]):
        heading = f"`[[{name}]]`" if is_list else f"`[{name}]`"
        first = headings.setdefault(table["title"], heading)
        if first != heading:
            parts.append(f"## {heading}\n\nKeys as in {first}.\n")
            continue
        rows = "".join(_row(key, value, table) for key, value in table["properties"].items())
        parts.append(
            f"## {heading}\n\n{_about(table)}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}"
        )
    return "\n".join(parts)


def undescribed() -> list[str]:
    """Keys without a meaning."""
    schema = Policy.model_json_schema()
    return [
        f"{name}.{key}"
        for name, table, _ in _tables(schema["properties"], schema["$defs"])
        for key, value in table["properties"].items()
        if not _meaning(value, schema["$defs"])
    ]


def _tables(
    properties: Mapping[str, Any], definitions: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name of each table, its schema, and true if there may be several of it."""
    for key, value in properties.items():
        reference, is_list = _referenced(value)
        if reference:
            table = definitions[reference]
            yield f"{above}{key}", table | {"definitions": definitions}, is_list
            yield from _tables(table.get("properties", {}), definitions, f"{above}{key}.")


def _referenced(value: Mapping[str, Any]) -> tuple[str, bool]:
    """Name of the table that a key holds, empty for a plain value; and true for a list of such tables."""
    choices = [value, *value.get("anyOf", ())]
    for choice in choices:
        if reference := choice.get("$ref", ""):
            return reference.rpartition("/")[2], False
        if reference := choice.get("items", {}).get("$ref", ""):
            return reference.rpartition("/")[2], True
    return "", False


def _about(table: Mapping[str, Any]) -> str:
    text = " ".join(str(table.get("description", "")).split("Attributes:")[0].split())
    about = re.sub(r"^`\[[^`]*\]`: ", "", text)
    return about[:1].upper() + about[1:]


def _meaning(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    reference, _ = _referenced(value)
    own = " ".join(str(value.get("description", "")).split())
    return own or (_about(definitions[reference]) if reference else "")


def _row(key: str, value: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    is_needed = key in table.get("required", ())
    default = "*needed*" if is_needed else f"`{_default(value)}`"
    reference, _ = _referenced(value)
    default = "see the table" if reference and not is_needed else default
    meaning = _meaning(value, table["definitions"]).replace("|", "\\|")
    return f"| `{key}` | {_type(value)} | {default} | {meaning} |\n"


def _default(value: Mapping[str, Any]) -> str:
    """Default of a key, as a person writes it."""
    default = value.get("default")
    if value.get("format") == "duration" and isinstance(default, str):
        return _SPELLED.sub(lambda part: f"{part[1]}{part[2].lower()}", default.removeprefix("P").replace("T", ""))
    return json.dumps(default)


def _type(value: Mapping[str, Any]) -> str:
    """Type of a value in a few words."""
    reference, is_list = _referenced(value)
    if reference:
        return "tables" if is_list else "table"
    if chosen := value.get("enum") or [item for item in (value.get("const"),) if item is not None]:
        return " or ".join(f"`{choice}`" if choice else "empty" for choice in chosen)
    if value.get("format") == "duration":
        return "duration"
    if choices := value.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices if choice.get("type") != "null"))
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    return {"string": "text", "integer": "number", "boolean": "true or false", "object": "table"}.get(
        str(value.get("type")), str(value.get("type", "value"))
    )


if __name__ == "__main__":
    PAGE.write_text(page())
