"""Requests read off the text of tests, where no recorder sees them: paths in quotes, with the method near them.

Used by `served_check` for other languages than Python and JavaScript. Only what needs no body is read: GET and HEAD.
It must not know who sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from phasegate.infra.grading.served.exchanges import Conversation, ServedRequest, is_sendable

_PATH = re.compile(r"""["'`](?:https?://(?:localhost|127\.0\.0\.1)(?::\d+)?)?(/[\w\-.~/?=&%+,:@]*)["'`]""")
_METHOD = re.compile(r"\b(?:get|head|post|put|patch|delete|options)(?![a-z])", re.IGNORECASE)
_CAMEL = re.compile(r"(?:Get|Head|Post|Put|Patch|Delete|Options)(?=[A-Z(]|\b)")
_ASKS = re.compile(r"http|request|client|fetch|route|server|mvc|uri", re.IGNORECASE)
_FILE = re.compile(r"/(?:tmp|usr|etc|var|dev|proc|home|opt|bin)(?:/|$)|\.(?:go|rs|java|kt|py|js|ts|txt|log|sock|db)$")
_NEAR = 120
"""Characters before a path within which its method stands."""
_MOST = 30


def read_requests(
    texts: Mapping[str, str], sealed: Mapping[str, tuple[str, ...]], most: int = _MOST
) -> Iterator[Conversation]:
    """Conversations, one for each path that a test file asks for.

    Args:
        texts: Content by path of test files.
        sealed: Criteria by path of the sealed files among them.
        most: Paths of one file that are read.
    """
    for file, text in texts.items():
        if not _ASKS.search(text):
            continue
        names: dict[str, None] = {}
        for match in _PATH.finditer(text):
            before = text[max(0, match.start() - _NEAR) : match.start()]
            near = _nearest(before)
            if near in ("get", "head") and is_sendable(match[1]) and not _FILE.search(match[1]):
                names[f"{near.upper()} {match[1]}"] = None
        for name in list(names)[:most]:
            method, _, path = name.partition(" ")
            yield Conversation(file, (ServedRequest(method, path),), sealed.get(file, ()), file in sealed)


def _nearest(before: str) -> str:
    """Method that stands last before a path."""
    ends = [(match.end(), match[0].lower()) for pattern in (_METHOD, _CAMEL) for match in pattern.finditer(before)]
    return max(ends, default=(0, ""))[1]
