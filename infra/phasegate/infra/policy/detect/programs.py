"""Programs that a policy's commands name, and those of them that this machine lacks. Called by `doctor`.

It knows the shape of command lines, not what the programs do.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection

_STEP = re.compile(r"""(?:"[^"]*"|'[^']*'|\\.|[^"';&|\n\\])+""")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_OF_THE_SHELL = {"cd", "echo", "exit", "export", "set", "test", "true", "false", "exec", "source", ".", "["}


def programs(command: str) -> tuple[str, ...]:
    """List the programs that a command line starts, in its order; paths and words of the shell are left out."""
    found: list[str] = []
    for step in _STEP.findall(command[:10_000]):
        words = [word for word in _WORD.findall(step) if word != "env" and not re.match(r"\w+=", word)]
        if words and re.fullmatch(r"[\w.+-]+", words[0]) and words[0] not in _OF_THE_SHELL:
            found.append(words[0])
    return tuple(dict.fromkeys(found))


def missing_programs(commands: Collection[str], search_path: str) -> tuple[str, ...]:
    """List the programs of some commands that are not found on a search path.

    Args:
        commands: Command lines of policy: set-up, tests, the service.
        search_path: Folders, as PATH names them.
    """
    named = dict.fromkeys(program for command in commands for program in programs(command))
    return tuple(program for program in named if shutil.which(program, path=search_path) is None)
