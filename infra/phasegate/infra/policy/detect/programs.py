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
_KEYWORDS = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "("}
"""Words of the shell after which a program may stand."""
_OTHER_WORDS = {"for", "case", "esac", "fi", "done", "in", "select", "function", "}", ")"}


def programs(command: str) -> tuple[str, ...]:
    """List the programs that a command line starts, in its order.

    Left out are paths, words of the shell, and steps that set PATH: those look for their program on another path.
    """
    names: list[str] = []
    for step in _STEP.findall(command[:10_000]):
        tokens: list[str] = _WORD.findall(step)
        if any(word.startswith("PATH=") for word in tokens):
            continue
        words = [word for word in tokens if word not in {"env", *_KEYWORDS} and not re.match(r"\w+=", word)]
        if words and re.fullmatch(r"[\w.+-]+", words[0]) and words[0] not in _OF_THE_SHELL | _OTHER_WORDS:
            names.append(words[0])
    return tuple(dict.fromkeys(names))


def missing_programs(commands: Collection[str], search_path: str) -> tuple[str, ...]:
    """List the programs of some commands that are not found on a search path.

    Args:
        commands: Command lines of policy: set-up, tests, the service.
        search_path: Folders, as PATH names them.
    """
    named = dict.fromkeys(program for command in commands for program in programs(command))
    return tuple(program for program in named if shutil.which(program, path=search_path) is None)
