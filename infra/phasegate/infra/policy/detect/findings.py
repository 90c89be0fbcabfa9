"""Findings about a project. Filled by the modules of the ecosystems, read by `detect` and `service`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["python", "node", "go", "jvm", "rust", "cmake"]


@dataclass(frozen=True)
class ProjectFindings:
    """Findings of one ecosystem's module.

    Attributes:
        language: What the repository is written in; None when it cannot be told.
        python: How its Python is called, once it is set up.
        test: The test command; empty when it cannot be told.
        test_because: Why, in a few words.
        setup: The set-up command; empty when nothing has to be set up.
        setup_because: Why, in a few words.
        notes: What a person should look at.
    """

    language: Language | None = None
    python: str = "python3"
    test: str = ""
    test_because: str = ""
    setup: str = ""
    setup_because: str = ""
    notes: tuple[str, ...] = ()


def ignored_folder(name: str) -> str:
    """Return the command that makes a folder of downloads which no change contains.

    Between set-up and tests only the checkout stays: a cache below HOME would be gone.
    """
    return f"mkdir -p {name} && echo '*' > {name}/.gitignore"
