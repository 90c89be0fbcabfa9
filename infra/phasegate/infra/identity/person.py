"""A person, and the one this process belongs to. Must not know what people decide."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Person who can be held to a decision.

    Attributes:
        name: How policy's `[roles]` and the audit trail name them: the user's name, or the principal of their key.
        identity: How phasegate knows: `local` is the operating system's word for it, `ssh` a verified signature.
    """

    name: str
    identity: str


def local_person() -> Person:
    """The operating-system user of this process.

    Taken from the process's user id: `$USER` and `$LOGNAME` can be set to anything.
    """
    uid = os.getuid()
    try:
        return Person(pwd.getpwuid(uid).pw_name, "local")
    except KeyError:  # a container may run under an id that has no name
        return Person(f"uid-{uid}", "local")
