"""Server-sent events, decoded as the bytes come in.

The client feeds it. httpx's own line iterator also splits at U+2028 and other separators that JSON strings may
hold as they are, so lines are split here, at LF only (a CR before it is dropped), as every provider writes them.
Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations


class SseDecoder:
    """Turns chunks of bytes into the data of whole events; an event that is cut off is never given out."""

    def __init__(self) -> None:
        """Start before the first byte."""
        self._rest: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The data of each event that `chunk` completes.

        Raises:
            UnicodeDecodeError: An event's data is not UTF-8.
        """
        if b"\n" not in chunk:  # a line may come in thousands of chunks, and is put together once
            self._rest.append(chunk)
            return []
        *lines, rest = b"".join([*self._rest, chunk]).split(b"\n")
        self._rest = [rest] if rest else []
        finished: list[str] = []
        for line in lines:
            field = line.removesuffix(b"\r")
            if field.startswith(b"data:"):
                self._data.append(field[5:].removeprefix(b" "))
            elif not field and self._data:
                finished.append(b"\n".join(self._data).decode())
                self._data.clear()
        return finished
