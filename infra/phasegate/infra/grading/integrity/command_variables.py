"""Variables that a test command sets for what it starts.

Called by `plain_run`, whose processes have what the project's own runner has. It must not know what they are for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator

_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WORKED_OUT = re.compile(r"[$`{]")
"""In a value that a shell works out."""
_STEERS_INTERPRETERS = re.compile(
    r"PYTHON(?:WARNINGS|OPTIMIZE|DEVMODE|STARTUP)|PYTEST_PLUGINS|NODE_OPTIONS|COVERAGE\w*"
)
"""Variables that would alter what our scripts themselves do."""
_FOR_TESTS = re.compile(r"(?:^|_)(?:TESTS?|TESTING|CI)(?:_|$)")
"""In the name of a variable that says that tests run."""
_BEFORE_VARIABLES = ("env", "export", "cross-env")
_OPERATORS = frozenset("();<>|&")


def command_variables(command: str) -> dict[str, str]:
    """Read plain assignments before programs, such as `NODE_ENV=test mocha`.

    Those that a shell works out are left out, and so are those that steer interpreters.

    Args:
        command: A shell command.
    """
    return dict(_assignments(command))


def unread_variables(command: str, texts: Callable[[], Iterable[str]]) -> frozenset[str]:
    """Names of variables for tests that a test command sets and no source reads.

    Args:
        command: A shell command.
        texts: Gives sources; called where there is such a variable.
    """
    named = {name for name in command_variables(command) if _FOR_TESTS.search(name)}
    sources = list(texts()) if named else []
    return frozenset(name for name in named if not any(name in text for text in sources))


def _assignments(command: str) -> Iterator[tuple[str, str]]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    before_program = True
    try:
        for word in lexer:
            assigned = _ASSIGNED.fullmatch(word)
            is_plain = before_program and assigned and not _WORKED_OUT.search(assigned[2])
            if assigned and is_plain and not _STEERS_INTERPRETERS.fullmatch(assigned[1]):
                yield assigned[1], assigned[2]
            before_program = bool(assigned and before_program) or word in _BEFORE_VARIABLES or {*word} <= _OPERATORS
    except ValueError:  # a quotation without an end
        return
