"""Programs as rules see them: started for certain, perhaps, or by commands that the command line does not show.

Used by every module of this room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from phasegate.infra.command_rules.known_programs import OTHER_SHELLS, SHELLS
from phasegate.infra.command_rules.shell_words import Word

Program = tuple[Word, ...]
"""A program's name, without its folder, and its arguments."""
UNKNOWN: Program = (Word("", literal=False),)

_LONGEST_RULE = 16
_INPUT = re.compile(r"-|/dev/(stdin|fd/.*)|/proc/.*")
_TOKEN = re.compile(r"[\w./*?~@%+-]+")


@dataclass(frozen=True)
class Invocation:
    """Part of a command line that may start a program.

    Attributes:
        program: Its words.
        certainty: `started`: it is; `possible`: words that another program may start; `unread`: it runs commands that
            the command line does not show, or in a language that is not read.
        why: For `unread`: the reason, after "it".
        least: For `possible`: the number of words that a rule must have to count; the words may be mere text.
    """

    program: Program
    certainty: Literal["started", "possible", "unread"] = "started"
    why: str = ""
    least: int = 1


def unread(name: str, arguments: Iterable[Word], why: str) -> Invocation:
    """A program that runs commands which are not read."""
    return Invocation((Word(name), *arguments), "unread", why)


def is_input(path: str) -> bool:
    """True if a file's name stands for what a program is handed, and for no file of the workspace."""
    return _INPUT.fullmatch(path) is not None


def mentioned(words: Sequence[Word], *, least: int) -> Iterator[Invocation]:
    """Words in a program's arguments or input, in each place where a program's name could be.

    Args:
        words: The arguments.
        least: Number of words that a rule must have to count.
    """
    tokens = [token for word in words for token in _tokens(word)]
    for position in range(len(tokens)):
        first = Word(tokens[position].text.rpartition("/")[2], tokens[position].literal)  # it may be a program's path
        program = (first, *tokens[position + 1 : position + _LONGEST_RULE])
        yield Invocation(program, "possible", least=least)
        if least == 1 and program[0].text in SHELLS | OTHER_SHELLS:
            yield Invocation(program, "unread", "may start a shell")


def _tokens(word: Word) -> Iterator[Word]:
    if not word.literal:
        yield word
        return
    for match in _TOKEN.finditer(word.text):
        text = match[0]
        yield Word(text.rpartition("/")[2] if text.startswith("/") else text)
