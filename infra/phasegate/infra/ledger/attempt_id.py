"""Attempt ids: `run-1/testing.authoring/2` is the second attempt at the authoring part of run-1's testing stage."""

from __future__ import annotations

from typing import NamedTuple


class AttemptId(NamedTuple):
    """Id of an attempt, which is also the id of its thread.

    Attributes:
        run: The run.
        thread: The stage, and the part of it after a dot where a stage has parts: `testing.authoring`.
        number: The attempt's number, from 1.
    """

    run: str
    thread: str
    number: int

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        """Read the id of an attempt, or of what belongs to one, such as a question: `run-1/prd/1/4/0`.

        Raises:
            ValueError: The text is no such id.
        """
        run, thread, number = text.split("/")[:3]
        return cls(run, thread, int(number))

    @classmethod
    def of(cls, run: str, stage: str, part: str, number: int) -> AttemptId:
        """Put an id together; `part` is empty where a stage has no parts."""
        return cls(run, f"{stage}.{part}" if part else stage, number)

    @property
    def stage(self) -> str:
        """The stage: `testing`."""
        return self.thread.partition(".")[0]

    @property
    def part(self) -> str:
        """The part of the stage: `authoring`; empty for a stage without parts."""
        return self.thread.partition(".")[2]

    @property
    def within_run(self) -> str:
        """The id without its run: `testing.authoring/2`."""
        return f"{self.thread}/{self.number}"

    def in_run(self, run: str) -> AttemptId:
        """The attempt of the same thread and number in another run: the original of a rehearsed attempt, say."""
        return self._replace(run=run)

    def __str__(self) -> str:
        """The id as it is stored."""
        return f"{self.run}/{self.within_run}"
