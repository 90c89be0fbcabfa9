"""Results of tests in a plain process and in its watched twin.

Made by `plain_run` of what processes have written, which is untrusted. It must not know what a difference means.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from phasegate.infra.grading.integrity.called_functions import Called


@dataclass
class Ran:
    """Results of one process."""

    passed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """File and name."""
    failed: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """File and name, with a message."""
    judged: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Tests that failed because of what the change did, as far as can be told."""
    decayed: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    replaced: dict[str, str] = field(default_factory=dict[str, str])
    """Dotted name of a function of the library, and the file or module of what stands in its place."""
    lost: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Tests that the process did not come through, or with an empty name whole files, with a message."""
    unloaded: dict[str, str] = field(default_factory=dict[str, str])
    """Files that could not be loaded, with a message."""
    asked: set[str] = field(default_factory=set[str])
    """Questions of the change's files about their surroundings."""
    calls: list[Called] = field(default_factory=list[Called])
    """Functions of the change that tests call, with answers to other inputs."""
    program: str = ""
    """Program that ran the tests."""
    seconds: float = 0
    has_ended: bool = False
    """True unless it was stopped for its time or memory."""

    def has_passed(self, test: tuple[str, str]) -> bool:
        """True if a test has passed, or with an empty name any test of the file."""
        path, name = test
        return test in self.passed if name else any(path == file for file, _ in self.passed)


@dataclass(frozen=True)
class PlainTwins:
    """Results of the watched and of the plain process."""

    watched: Ran
    plain: Ran

    @property
    def replaced(self) -> dict[str, str]:
        """Functions of the library that were replaced in one of them."""
        return self.watched.replaced | self.plain.replaced

    @property
    def compared(self) -> set[tuple[str, str]]:
        """Tests that passed in the watched process and ran in the other, or were begun there."""
        return self.watched.passed & (self.plain.passed | self.plain.failed.keys()) | self.lost.keys()

    @property
    def lost(self) -> dict[tuple[str, str], str]:
        """Tests that passed in the watched process, and that the other did not come through, with a message."""
        plain = self.plain
        begun = {test: plain.lost.get(test) or plain.lost.get((test[0], "")) for test in self.watched.passed}
        return {
            test: message
            for test, message in begun.items()
            if message and test not in plain.passed | plain.failed.keys()
        }
