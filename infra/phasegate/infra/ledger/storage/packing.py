"""Compression of an agent's requests: each repeats what the turn before brought, so only the new part takes room.

Used by `turns` and `exchanges`, which write, and by `audit`, which reads rows wherever they are. It must not know
what a conversation is about, and no provider.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_LEVEL = 1
_WINDOW = 2**15
"""Characters of the text that is known already which deflate looks back at."""


def pack(text: str, context: str = "") -> str:
    """Compress a text into a text; what it shares with a known one takes next to no room.

    What UTF-8 cannot hold (a lone surrogate in the name of a file) becomes `?`, as it does in requests.
    """
    pressed = zlib.compressobj(_LEVEL, zdict=context.encode()[-_WINDOW:])
    return base64.b64encode(pressed.compress(text.encode("utf-8", "replace")) + pressed.flush()).decode()


def unpack(packed: str, context: str = "") -> str:
    """The text that was packed.

    Raises:
        ValueError: It is not what `pack` gave, or the known text is another one.
    """
    try:
        return zlib.decompressobj(zdict=context.encode()[-_WINDOW:]).decompress(base64.b64decode(packed)).decode()
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"what is packed cannot be read: {error}") from error


def shared_context(reply: str, entry: str | None) -> str:
    """Text that the request after a turn repeats: the turn's reply, and what came of it."""
    return reply if entry is None else reply + unpack(entry)


def requests(exchanges: Iterable[Mapping[str, Any]], entries: Mapping[str, str]) -> Iterator[str]:
    """The requests of exchanges, as they were sent.

    Args:
        exchanges: Their rows as they are stored, attempt by attempt, turn by turn.
        entries: What came of turns, by their ids, as `turns` stores it.

    Raises:
        ValueError: A row does not hold what was stored.
    """
    attempt, body, context = "", "", ""
    for row in exchanges:
        if row["attempt_id"] != attempt:
            attempt, body, context = row["attempt_id"], "", ""
        rest = unpack(row["request_rest"], context) if row.get("packed") else row["request_rest"]
        body = body[: row["request_shared"]] + rest
        context = shared_context(row["reply"], entries.get(row["id"]))
        yield body
