"""Parts of a command line that leave open which programs it starts: unknown programs, inline code, options that run.

Used by `programs`. It must not know which commands are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from phasegate.infra.command_rules.inline_code import INTERPRETERS, Interpreter, starts_nothing
from phasegate.infra.command_rules.invocation import Invocation, is_input, mentioned, unread
from phasegate.infra.command_rules.known_programs import (
    FROM_FILES,
    GIT_COMMANDS,
    GIT_FORMS,
    GIT_RUNS_BY_OPTION,
    GIT_VALUED,
    ORDINARY,
    RUNS_BY_OPTION,
    means,
)
from phasegate.infra.command_rules.shell_words import SimpleCommand, Word

_VERSIONED = re.compile(r"(python|pypy|perl|ruby|php|node|lua)[\d.]+(?:-\w+)?")
_AWK = frozenset({"awk", "gawk", "mawk", "nawk", "original-awk"})
_MAKE = frozenset({"make", "gmake", "bmake"})
_RUNS_CODE = frozenset({"asyncio", "code", "pdb", "pty", "timeit", "webbrowser", "idlelib", "antigravity"})
_PACKAGE_RUNNERS = frozenset({"bunx", "npm", "npx", "pnpm", "yarn"})
_MAKEFILE = re.compile(r"-[A-Za-z]*f(.*)|--(?:make)?file(?:=(.*))?", re.DOTALL)
_ADDRESS = re.compile(r"(--[\w-]+=)?(data|blob|https?):", re.IGNORECASE)
"""Code that an interpreter reads from no file of the project."""
_MODULE = re.compile(r"-[bBdEIOPqsSuvx]*m(.*)")
_NEVER = re.compile(r"(?!)")
_LONGEST_OPTION = 500
"""Characters of an option that is read."""
_CONVERSES = {
    "python": re.compile(r"-[bBdEIOPqsSuvx]*i.*"),
    "perl": re.compile(r"-[a-ce-z0]*d.*|-[\w]*[MmF].*[;({\[`$].*", re.DOTALL),
    "javascript": re.compile(r"-i|--interactive|--inspect.*"),
    "php": re.compile(r"-a|--interactive"),
}
"""Options with which an interpreter takes further code, which is not on the command line."""


def left_open(name: str, arguments: Sequence[Word], command: SimpleCommand) -> Iterator[Invocation]:
    """Programs that a program may start, though its call does not name them for certain.

    Args:
        name: The program's name.
        arguments: Its arguments.
        command: Its call, which says what it is fed.
    """
    interpreter = INTERPRETERS.get(_VERSIONED.sub(r"\1", name))
    if name in _AWK:
        yield from _inline(name, "awk", _awk_code(arguments, command), arguments)
    elif name in {"sed", "gsed"}:
        yield from _inline(name, "sed", _sed_code(arguments, command), arguments)
    elif interpreter is not None:
        yield from _interpreted(name, interpreter, arguments, command)
    elif name in ORDINARY:
        if any(word.text.startswith(RUNS_BY_OPTION.get(name, "\0")) for word in arguments):
            yield from mentioned(arguments, least=1)
    elif name in FROM_FILES:
        yield from _from_files(name, arguments, command)
    else:
        yield from mentioned([*arguments, Word(command.fed or "")], least=1)


def _from_files(name: str, arguments: Sequence[Word], command: SimpleCommand) -> Iterator[Invocation]:
    texts = [word.text for word in arguments]
    if name in _MAKE and (
        any(text.startswith(("--eval", "-E", "SHELL", ".SHELLFLAGS")) for text in texts) or _is_fed_makefile(texts)
    ):
        yield unread(name, arguments, "is given rules on the command line")
    if name in _PACKAGE_RUNNERS and any(text.startswith(("-c", "--call", "--shell")) for text in texts):
        yield from mentioned(arguments, least=1)
    if name in {"deno", *_PACKAGE_RUNNERS} and any(_ADDRESS.match(text) for text in texts):
        yield unread(name, arguments, "is given code by an address")
    if name == "deno" and texts[:1] in (["eval"], ["repl"]):
        yield from _inline(name, "javascript", arguments[1:], arguments)
    yield from mentioned([*arguments, Word(command.fed or "")], least=2)


def _is_fed_makefile(texts: Sequence[str]) -> bool:
    named = ((_MAKEFILE.fullmatch(text), after) for text, after in pairwise([*texts, ""]))
    return any(match and is_input(match[1] or match[2] or after) for match, after in named)


def _inline(name: str, language: str, codes: Sequence[Word], arguments: Sequence[Word]) -> Iterator[Invocation]:
    """Programs that code on the command line may start."""
    if not all(code.literal and starts_nothing(language, code.text) for code in codes):
        yield unread(name, arguments, "is given code that may start programs")
    yield from mentioned(codes, least=2)


def _code_of_file(path: Word, command: SimpleCommand) -> list[Word]:
    """Code that an option's file has, where that file is what the program is handed."""
    if path.literal and not is_input(path.text):
        return []
    return [Word(command.fed)] if command.fed is not None else [Word("", literal=False)]


def _awk_code(arguments: Sequence[Word], command: SimpleCommand) -> list[Word]:
    rest, codes, is_settled = list(arguments), list[Word](), False
    while rest and rest[0].text.startswith("-"):
        option = rest.pop(0)
        if match := re.fullmatch(r"-[fE](.*)|--(?:file|exec)(?:=(.*))?", option.text, re.DOTALL):
            codes += _code_of_file(_value(match, option, rest), command)
            is_settled = True
        elif match := re.fullmatch(r"-e(.*)|--so\w*(?:=(.*))?", option.text, re.DOTALL):
            codes.append(_value(match, option, rest))
            is_settled = True
        elif option.text == "--":
            break
        elif option.text in {"-F", "-v", "--field-separator", "--assign"}:
            _next(rest)
        elif option.text.startswith(("-l", "-i", "--load", "--include", "-p", "-D")):
            codes.append(Word("", literal=False))
    return codes if is_settled else [*codes, *rest[:1]]


def _sed_code(arguments: Sequence[Word], command: SimpleCommand) -> list[Word]:
    codes: list[Word] = []
    operands: list[Word] = []
    is_settled, rest = False, list(arguments)
    while rest:
        word = rest.pop(0)
        if match := re.fullmatch(r"-[nErsuz]*e(.*)|--ex\w*(?:=(.*))?", word.text, re.DOTALL):
            codes.append(_value(match, word, rest))
            is_settled = True
        elif match := re.fullmatch(r"-[nErsuz]*f(.*)|--fi\w*(?:=(.*))?", word.text, re.DOTALL):
            codes += _code_of_file(_value(match, word, rest), command)
            is_settled = True
        elif not word.literal or not word.text.startswith("-"):
            operands.append(word)
    return codes if is_settled else operands[:1]


def _value(match: re.Match[str], option: Word, rest: list[Word]) -> Word:
    """Value of an option: in its own word, or in the next."""
    attached = match[1] or match[2]
    return Word(attached, option.literal) if attached else _next(rest)


def _interpreted(
    name: str, interpreter: Interpreter, arguments: Sequence[Word], command: SimpleCommand
) -> Iterator[Invocation]:
    if any(_ADDRESS.match(word.text) for word in arguments):
        yield unread(name, arguments, "is given code by an address")
    rest, codes, is_settled = list(arguments), list[Word](), False
    while rest and rest[0].text.startswith("-") and not is_input(rest[0].text) and not (codes and _ends(interpreter)):
        option = rest.pop(0)
        if _ends(interpreter) and (match := _MODULE.fullmatch(option.text)):
            yield from _module(name, [Word(match[1]), *rest] if match[1] else rest, arguments)
            return
        if len(option.text) > _LONGEST_OPTION or _CONVERSES.get(interpreter.language, _NEVER).fullmatch(option.text):
            yield unread(name, arguments, "takes further code while it runs")
        is_settled |= option.text in interpreter.settled
        codes += _code_in(option, interpreter, rest)
    if codes:
        yield from _inline(name, interpreter.language, codes, arguments)
    elif rest and not is_input(rest[0].text):
        yield from mentioned(rest[1:], least=2)
    elif command.fed is not None:
        yield from _inline(name, interpreter.language, [Word(command.fed)], arguments)
    elif not is_settled:
        yield unread(name, arguments, "runs code from its standard input")


def _ends(interpreter: Interpreter) -> bool:
    """True if code or a module ends the interpreter's own options."""
    return interpreter.language == "python"


def _module(name: str, rest: Sequence[Word], arguments: Sequence[Word]) -> Iterator[Invocation]:
    module = rest[0] if rest else Word("", literal=False)
    if not module.literal or module.text.partition(".")[0] in _RUNS_CODE:
        yield unread(name, arguments, "is given code that may start programs")
    yield from mentioned(rest[1:], least=2)


def _code_in(option: Word, interpreter: Interpreter, rest: list[Word]) -> list[Word]:
    """Code that an option gives, if it gives any; its value is taken from the words that follow."""
    name, equals, value = option.text.partition("=")
    takes, after = (name, value) if name.startswith("--") else _letter_with_value(option.text, interpreter)
    if takes not in (*interpreter.code, *interpreter.valued):
        return []
    given = Word(after, option.literal) if after or (equals and takes == name) else _next(rest)
    return [given] if takes in interpreter.code else []


def _letter_with_value(option: str, interpreter: Interpreter) -> tuple[str, str]:
    """The first of several letters after a dash that takes a value, and the value if it is in the same word."""
    if option in (*interpreter.code, *interpreter.valued):
        return option, ""
    for position, letter in enumerate(option[1:], start=2):
        if letter in interpreter.attached:
            break
        if f"-{letter}" in (*interpreter.code, *interpreter.valued):
            return f"-{letter}", option[position:]
    return "", ""


def _next(rest: list[Word]) -> Word:
    return rest.pop(0) if rest else Word("", literal=False)


def split_options(arguments: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """The options of git that stand before its command, and the command with its own words."""
    rest, options = list(arguments), list[Word]()
    while rest and rest[0].literal and (rest[0].text.startswith("-") or not rest[0].text):
        option = rest.pop(0)
        options.append(option)
        if option.text in GIT_VALUED or option.text in {"-c", "--config-env"}:
            options += rest[:1]
            del rest[:1]
    return options, rest


def git_leaves_open(arguments: Sequence[Word]) -> Iterator[Invocation]:
    """Programs that a git command may start.

    Args:
        arguments: The command and its words.
    """
    if not arguments:
        return
    name = arguments[0].text if arguments[0].literal else ""
    texts = [word.text for word in arguments[1:]]
    is_form = name in GIT_FORMS and (not texts or texts[0] in GIT_FORMS[name])
    if name not in GIT_COMMANDS and not is_form:
        yield unread("git", arguments, "may be an alias, or start programs")
        yield from mentioned(arguments[1:], least=1)
    elif any(means(text, option) for text in texts for option in GIT_RUNS_BY_OPTION.get(name, ())):
        yield unread("git", arguments, "is told to start a program")
    elif any("ext::" in text for text in texts):
        yield unread("git", arguments, "reaches a repository through a program")
    elif name == "config":
        yield from mentioned(arguments[1:], least=2)
