"""Tables whose keys are digests, beside code that makes such digests of what it is given.

Called by `findings`. Who keys answers by digests hides which inputs they are for. Honest tables of digests have them as
values, or check what was downloaded. The text alone is read. It must not know any test.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.integrity.literal_tree import Group, Node, Token, groups, is_sign, parse
from phasegate.infra.grading.tree.code_files import is_code
from phasegate.infra.workspace.change_set import readable

_FEWEST = 2
_NEAR = 6
"""Lines before and after a table, among which an excuse is looked for."""
_MOST = 64
"""Entries of a table that somebody has written; a longer one is generated."""
_HEX = re.compile(r"(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}", re.IGNORECASE)
_SMALLEST = 1 << 20
_MAKES_DIGESTS = re.compile(
    r"\bhashlib\b|\bcreateHash\b|\bcrypto\.subtle\b|\b(?:crc32|adler32|fnv|xxhash|murmur\w*|maphash)\b|\bhash\(|\bcrypto/\w+\b"
    r"|(?P<hash>\b\w+)\s*=\s*(?:\(|Math\.imul\()*\s*(?P=hash)\s*(?:\*|<<|,)\s*(?:0x)?\w+\)*[^\n]{0,20}[-+^|]"
    r"|(?P<other>\b\w+)\s*(?:\*=\s*(?:0x)?\w+|\^=\s*\S+)[;\s]+(?P=other)\s*(?:\^=|\*=|\+=)"
    r"|\blambda\s+(?P<folded>\w+)\s*,\s*\w+\s*:\s*\(*\s*(?P=folded)\s*(?:\*|<<)\s*(?:0x)?\w+\s*[-+^|]"
    r"|\bMath\.imul\(\s*\w+\s*\^|\b(?:2166136261|16777619|0x811c9dc5|0x0?1000193|5381|1315423911|0x9e3779b[19]|2654435761)\b"
    r"|=>\s*\(*(?:Math\.imul\()?\w+\s*(?:\*|<<|,)\s*(?:0x)?\w+\)?\s*[-+^|][^\n]*(?:charCodeAt|codePointAt)"
)
_OF_FILES = re.compile(
    r"download|integrity|checksum of|\bverify|signature|\.tar|\.zip|\.whl|\bmagic\b|\bcrc_?table", re.IGNORECASE
)


def about_digest_keys(path: str, text: str, added: Collection[int]) -> Iterator[Finding]:
    """Find new tables and sets of digests in a file that makes digests.

    Args:
        path: The file.
        text: Its content in the change.
        added: Lines that the change adds.
    """
    if not is_code(path) or not added or not _MAKES_DIGESTS.search(text):
        return
    lines = text.splitlines()
    places = [
        group.line
        for group in groups(parse(text, path))
        if group.line in added and _FEWEST <= len(keys := _keys(group)) <= _MOST and all(map(_is_opaque, keys))
        if not _OF_FILES.search("\n".join(lines[max(0, group.line - _NEAR) : group.end + _NEAR]))
    ]
    if places:
        shown = ", ".join(map(str, places[:5]))
        message = f"it looks up what it is given by digests that nobody can read (line {shown})"
        yield Finding(code="keyed-by-digest", path=readable(path), message=message, severity="suspicion")


def _keys(group: Group) -> list[Node]:
    """Keys of a table; members of a set."""
    parts = [*group.parts()] if group.opening else []
    if parts and all(len(part) > 2 and (is_sign(part[1], ":") or is_sign(part[1], "=>")) for part in parts):
        return [part[0] for part in parts]
    if parts and all(isinstance(part[0], Group) and len(part) == 1 for part in parts):
        rows = [[*part[0].parts()] for part in parts if isinstance(part[0], Group)]
        return [row[0][0] for row in rows] if all(len(row) == 2 and len(row[0]) == 1 for row in rows) else []
    return [part[0] for part in parts] if all(len(part) == 1 for part in parts) and len(parts) > 2 else []


def _is_opaque(key: Node) -> bool:
    """True for what looks like a digest or a part of one."""
    if not isinstance(key, Token) or not key.is_literal:
        return False
    if key.kind == "text":
        return _HEX.fullmatch(key.text) is not None
    return key.text.isdigit() and int(key.text) >= _SMALLEST and len(key.text.rstrip("0")) > 5
