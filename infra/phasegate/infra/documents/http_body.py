"""Body of another server's answer, read within a bound: what it says of its length is not believed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from phasegate.infra.documents.bounds import DocumentBounds, unreadable


class BoundedBody:
    """Bytes of a body so far; a compressed one counts as it is unfolded."""

    def __init__(self, source: str, bounds: DocumentBounds) -> None:
        """Start before the first byte; `source` names the body in messages."""
        self._source, self._bounds = source, bounds
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take a chunk in.

        Raises:
            DocumentUnreadable: The body is longer than its bound.
        """
        self._size += len(chunk)
        if self._size > self._bounds.size:
            raise unreadable(self._source, f"it is longer than {self._bounds.size:,} bytes")
        self._chunks.append(chunk)

    def content(self) -> bytes:
        """All bytes so far."""
        return b"".join(self._chunks)


async def joined_body(chunks: AsyncIterable[bytes], source: str, bounds: DocumentBounds) -> bytes:
    """Join a body's chunks as they come.

    Raises:
        DocumentUnreadable: They are longer than the bound; the rest is not read.
    """
    body = BoundedBody(source, bounds)
    async for chunk in chunks:
        body.add(chunk)
    return body.content()


def joined_chunks(chunks: Iterable[bytes], source: str, bounds: DocumentBounds) -> bytes:
    """As `joined_body`, of a client that blocks."""
    body = BoundedBody(source, bounds)
    for chunk in chunks:
        body.add(chunk)
    return body.content()
