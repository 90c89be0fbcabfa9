"""Command lines that a program's words make up: what `find -exec`, `xargs`, `env`, `su -c` and the like start.

Used by `programs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from phasegate.infra.command_rules.invocation import UNKNOWN
from phasegate.infra.command_rules.known_programs import LONG_FLAGS, SCRIPTED, WRAPPERS, Wrapper, means
from phasegate.infra.command_rules.shell_words import SimpleCommand, Word

_COMPUTED = Word("", literal=False)
_XARGS_MARK = re.compile(r"-[0ortpx]*[IJ](.*)|-[0ortpx]*i(.*)|--replace(?:=(.*))?", re.DOTALL)
_COMMAND_LINES = ("--split-string", "--command", "--session-command")
"""Long options whose value is a command line."""
_EXECUTING = frozenset({"-exec", "-execdir", "-ok", "-okdir", "-x", "--exec", "-X", "--exec-batch"})


def read_again(words: Sequence[Word]) -> SimpleCommand:
    """Words that are read as a command line once more, as `sh -c` would."""
    if not all(word.literal for word in words):
        return SimpleCommand(UNKNOWN)
    return SimpleCommand((Word("sh"), Word("-c"), Word(" ".join(word.text for word in words))))


def after_options(name: str, arguments: Sequence[Word]) -> list[Word]:
    """Words behind a wrapper's options and operands; `UNKNOWN` if it is not known whether an option takes a value."""
    if name == "command" and arguments and re.fullmatch(r"-p*[vV]+", arguments[0].text):
        return []  # it shows the program, and starts none
    wrapper, rest = WRAPPERS[name], list(arguments)
    mark = ""
    while rest and rest[0].text.startswith("-") and rest[0].text != "-":
        option = rest.pop(0)
        if option.text == "--":
            break
        if name == "env" and option.text in {"-S", "--split-string"}:
            return list(read_again(rest).words)
        if name == "xargs" and (match := _XARGS_MARK.fullmatch(option.text)):
            mark = next((text for text in match.groups() if text), "")
            if not mark and option.text[-1] in "IJ" and rest:
                mark = rest.pop(0).text
            mark = mark or "{}"
        elif not (option.literal and _is_read(option.text, wrapper, rest)):
            return list(UNKNOWN)
    if name == "xargs" and rest:
        # what xargs reads is put in the place of the mark, or behind
        return [_COMPUTED if mark in word.text else word for word in rest] if mark else [*rest, _COMPUTED]
    return rest[wrapper.operands :]


def _is_read(option: str, wrapper: Wrapper, rest: list[Word]) -> bool:
    """Take an option and the value it wants from what follows; False: it is not known."""
    if option.startswith("--"):
        return ("=" in option and not any(means(option, known) for known in _COMMAND_LINES)) or option in LONG_FLAGS
    letters = option[1:]
    for position, letter in enumerate(letters):
        if letter in wrapper.valued:
            if position == len(letters) - 1 and rest:
                rest.pop(0)
            return True
        if letter not in wrapper.flags and not letters.isdecimal():
            return False
    return True


def _option_script(letter: str) -> Callable[[Sequence[Word]], list[SimpleCommand]]:
    """Reader of a program whose option, or first word, is a command line."""

    def commands(arguments: Sequence[Word]) -> list[SimpleCommand]:
        if not letter:
            return [read_again(arguments[:1])] if arguments else []
        return list(_scripts(letter, arguments))

    return commands


def _scripts(letter: str, arguments: Sequence[Word]) -> Iterator[SimpleCommand]:
    for position, word in enumerate(arguments):
        if word.text in {"--command", "--session-command"} or re.fullmatch(rf"-\w*{letter}", word.text):
            yield read_again(arguments[position + 1 : position + 2] or UNKNOWN)
        elif word.text.startswith(("--command=", "--session-command=")):
            yield read_again([Word(word.text.partition("=")[2], word.literal)])
        elif match := re.fullmatch(rf"-\w*?{letter}(.+)", word.text, re.DOTALL):
            yield read_again([Word(match[1], word.literal)])


def _find(arguments: Sequence[Word]) -> list[SimpleCommand]:
    commands: list[SimpleCommand] = []
    position = 0
    while position < len(arguments):
        option, _, attached = arguments[position].text.partition("=")
        if attached and option in _EXECUTING:
            commands.append(read_again([Word(attached, arguments[position].literal)]))
        elif option in _EXECUTING:
            end = position + 1
            while end < len(arguments) and arguments[end].text not in {";", "+"}:
                end += 1
            words = arguments[position + 1 : end]
            started = tuple(_COMPUTED if "{" in word.text else word for word in words)
            commands.append(SimpleCommand(started or UNKNOWN))
            position = end
        position += 1
    return commands


def _eval(arguments: Sequence[Word]) -> list[SimpleCommand]:
    return [read_again(arguments)]


OPENERS: Mapping[str, Callable[[Sequence[Word]], list[SimpleCommand]]] = {
    "eval": _eval,
    "fd": _find,
    "fdfind": _find,
    "find": _find,
    **{name: _option_script(letter) for name, letter in SCRIPTED.items()},
}
"""Readers of the command lines in a program's arguments."""
