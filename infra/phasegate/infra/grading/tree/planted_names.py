"""Names for planted tests and their files: ordinary words, drawn for each run.

Called by the modules that write canaries. It must not know what a planted test holds.
"""

from __future__ import annotations

import builtins
import re
import secrets
from collections.abc import Collection

_MARKS = ("", "test", "tests", "spec", "accept", "acceptance")
WORDS: list[str] = re.findall(
    r"\w+",
    "again amounts bounds cases changed combined default details empty entries first given input items large last "
    "length limits lower many mixed names negative order pairs parts plain range repeated result rules several short "
    "simple single small steps total twice upper usual values whole zero",
)
"""Words that tests and programs are named with."""


def path_beside(path: str, taken: Collection[str]) -> str:
    """Find a free path that the collector of a test file collects as well.

    Args:
        path: The test file's.
        taken: Paths that are in use.
    """
    folder, slash, name = path.rpartition("/")
    while True:
        if (candidate := f"{folder}{slash}{_renamed(name)}") not in taken:
            return candidate


def word_missing_in(text: str) -> str:
    """Draw a word that a text does not hold."""
    return secrets.choice([word for word in WORDS if word not in text.lower()] or [f"w{secrets.token_hex(4)}"])


def name_missing_in(text: str) -> str:
    """Draw a word that a Python text does not hold, and that hides no builtin."""
    free = [word for word in WORDS if word not in text.lower() and not hasattr(builtins, word)]
    return secrets.choice(free or [f"w{secrets.token_hex(4)}"])


def _renamed(name: str) -> str:
    stem, dot, suffix = name.partition(".")
    first, second = secrets.choice(WORDS), secrets.choice(WORDS)
    if suffix in ("java", "kt"):
        both = f"{first.capitalize()}{second.capitalize()}"
        # Surefire collects Test*.java and *Test.java
        return f"Test{both}{stem[4:]}{dot}{suffix}" if stem.startswith("Test") else f"{both}{stem}{dot}{suffix}"
    if suffix == "go":
        # behind the sealed file: what ends the process among the sealed tests loses the canary
        last = secrets.choice([word for word in WORDS if word > "test"])
        return f"{stem.removesuffix('_test')}_{last}_{first}_test.go"
    parts = re.split(r"([-_.])", stem)
    joint = parts[1] if len(parts) > 1 else "_"
    at = max((number for number, part in enumerate(parts) if part.lower() not in (*_MARKS, *"-_.")), default=-1)
    if at == -1 or stem.startswith("Test"):
        return f"{stem}{joint}{first}{joint}{second}{dot}{suffix}"
    return f"{''.join(parts[:at])}{first}{joint}{second}{''.join(parts[at + 1 :])}{dot}{suffix}"
