"""Variables that a test command sets for what it starts.

Called by `plain_run`, whose processes have what the project's own runner has. It must not know what they are for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WORKED_OUT = re.compile(r"[$`{]")
"""In a value that a shell works out."""
_OPERATORS = frozenset("();<>|&")


def command_variables(command: str) -> dict[str, str]:
    """Read plain assignments before programs, such as `NODE_ENV=test mocha`; those that a shell works out are left out.

    Args:
        command: A shell command.
    """
    return dict(_assignments(command))


def _assignments(command: str) -> Iterator[tuple[str, str]]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    before_program = True
    try:
        for word in lexer:
            assigned = _ASSIGNED.fullmatch(word)
            if before_program and assigned and not _WORKED_OUT.search(assigned[2]):
                yield assigned[1], assigned[2]
            before_program = bool(assigned and before_program) or word in ("env", "export") or {*word} <= _OPERATORS
    except ValueError:  # a quotation without an end
        return
