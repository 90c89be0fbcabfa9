"""Printed text and log records that tests read back, as pytest's fixtures of these names give them.

Runs inside the sandbox. It needs no runner, so it is the same in both processes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Generator, Iterator
from typing import Any


class Capture:
    """Printed text, as pytest's `capsys` gives it."""

    def __init__(self) -> None:
        """Start to capture."""
        self._before = sys.stdout, sys.stderr
        self._begin()

    def readouterr(self) -> Any:
        """Printed text since the last call."""
        read = Captured(self._out.getvalue(), self._err.getvalue())
        self._begin()
        return read

    @contextlib.contextmanager
    def disabled(self) -> Generator[None]:
        """Give the real streams back for a while."""
        kept = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._before
        try:
            yield
        finally:
            sys.stdout, sys.stderr = kept

    def end(self) -> None:
        """Give the streams back."""
        sys.stdout, sys.stderr = self._before

    def _begin(self) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        sys.stdout, sys.stderr = self._out, self._err


class Captured:
    """Output and errors, which can be taken by name and by place."""

    def __init__(self, out: str, err: str) -> None:
        """Pair them."""
        self.out, self.err = out, err

    def __iter__(self) -> Iterator[str]:
        return iter((self.out, self.err))

    def __getitem__(self, place: int) -> str:
        return (self.out, self.err)[place]


class LogCapture:
    """Log records, as pytest's `caplog` gives them."""

    def __init__(self) -> None:
        """Start to listen at the root of all loggers."""
        self.handler = _Keeper()
        self._levels: list[tuple[logging.Logger, int]] = []
        logging.getLogger().addHandler(self.handler)

    @property
    def records(self) -> list[logging.LogRecord]:
        """Records so far."""
        return self.handler.records

    @property
    def messages(self) -> list[str]:
        """Their messages."""
        return [record.getMessage() for record in self.records]

    @property
    def record_tuples(self) -> list[tuple[str, int, str]]:
        """Logger, level and message of each."""
        return [(record.name, record.levelno, record.getMessage()) for record in self.records]

    @property
    def text(self) -> str:
        """All of them, a line each."""
        return self.handler.text.getvalue()

    def clear(self) -> None:
        """Forget what was logged."""
        self.handler.records = []
        self.handler.text = io.StringIO()

    def set_level(self, level: int | str, logger: str | None = None) -> None:
        """Set a logger's level until the test is over."""
        target = logging.getLogger(logger)
        self._levels.append((target, target.level))
        target.setLevel(level)

    @contextlib.contextmanager
    def at_level(self, level: int | str, logger: str | None = None) -> Generator[None]:
        """Set a logger's level for a while."""
        target = logging.getLogger(logger)
        before = target.level
        target.setLevel(level)
        try:
            yield
        finally:
            target.setLevel(before)

    def end(self) -> None:
        """Listen no longer, and put levels back."""
        while self._levels:
            logger, level = self._levels.pop()
            logger.setLevel(level)
        logging.getLogger().removeHandler(self.handler)


class _Keeper(logging.Handler):
    """Keeps records, and their text as pytest writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.text = io.StringIO()
        self.setFormatter(logging.Formatter("%(levelname)-8s %(name)s:%(filename)s:%(lineno)d %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.text.write(self.format(record) + "\n")
