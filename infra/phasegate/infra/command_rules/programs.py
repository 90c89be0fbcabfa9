"""Programs that a command line starts, also through others: shells, `env`, `sudo`, `xargs`, `find -exec` and the like.

Called by `rules`. A program whose name is only known when it runs is given as `UNKNOWN`. What a file says that a
program reads (a script, a Makefile, `python -c`) is not looked at: there the sandbox alone holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phasegate.infra.command_rules.shell import SimpleCommand, Unparsable, Word, parse

Program = tuple[Word, ...]
"""A program's name, without its folder, and its arguments."""
UNKNOWN: Program = (Word("", literal=False),)

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash"})
_READERS = frozenset(
    {"awk", "basename", "cat", "cd", "cmp", "cut", "diff", "dirname", "echo", "egrep", "fgrep", "file", "find", "git"}
    | {"grep", "head", "jq", "ls", "nl", "od", "printf", "pwd", "realpath", "rg", "sed", "sha256sum", "sort", "stat"}
    | {"tail", "test", "tr", "tree", "true", "uniq", "wc", "which", "xxd"}
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_STANDARD_INPUT = frozenset({"/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"})
_NESTING = 8


@dataclass(frozen=True)
class _Wrapper:
    """Call of a program that starts another.

    Attributes:
        flags: Letters of options without a value.
        valued: Letters of options with one.
        operands: Number of words before the program.
    """

    flags: str = ""
    valued: str = ""
    operands: int = 0


_WRAPPERS = {
    "builtin": _Wrapper(),
    "busybox": _Wrapper(),
    "chroot": _Wrapper(operands=1),
    "command": _Wrapper("pvV"),
    "doas": _Wrapper("Lns", "aCu"),
    "env": _Wrapper("i0v", "uC"),
    "exec": _Wrapper("cl", "a"),
    "fakeroot": _Wrapper(),
    "flock": _Wrapper("sxunoFv", "wE", operands=1),
    "ionice": _Wrapper("t", "cn"),
    "nice": _Wrapper("", "n"),
    "nohup": _Wrapper(),
    "setsid": _Wrapper("cfw"),
    "stdbuf": _Wrapper("", "ioe"),
    "sudo": _Wrapper("AbEeHiKklnPSsVv", "CDghpRrTtUu"),
    "taskset": _Wrapper("a", "", operands=1),
    "time": _Wrapper("pvaq", "of"),
    "timeout": _Wrapper("v", "ks", operands=1),
    "toybox": _Wrapper(),
    "unshare": _Wrapper("imnpuUCTfrc"),
    "xargs": _Wrapper("0ortpx", "adEILnPs"),
}
_LONG_FLAGS = frozenset(
    {"--foreground", "--preserve-status", "--verbose", "--null", "--no-run-if-empty", "--ignore-environment"}
    | {"--fork", "--wait", "--map-root-user", "--net", "--mount", "--pid", "--user", "--ipc", "--uts", "--login"}
    | {"--non-interactive", "--preserve-env", "--portability"}
)
_SCRIPTED = {"su": "c", "script": "c", "runuser": "c", "trap": ""}
_GIT_VALUED = frozenset({"-C", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--attr-source"})


def programs(text: str) -> list[Program]:
    """Every program a command line would start, wrappers and what they wrap.

    Raises:
        Unparsable: The command line cannot be read with certainty.
    """
    return list(_in_script(text, 0))


def only_reads(text: str) -> bool:
    """True if a command line starts only programs that look at files, and need nothing else."""
    try:
        return all(program[0].text in _READERS for program in programs(text))
    except Unparsable:
        return False


def _in_script(text: str, depth: int) -> Iterator[Program]:
    if depth > _NESTING:
        raise Unparsable("it is nested too deeply")
    for command in parse(text):
        yield from _started_by(command, depth)


def _started_by(command: SimpleCommand, depth: int) -> Iterator[Program]:
    words = list(command.words)
    while words and _ASSIGNMENT.match(words[0].text):
        words.pop(0)
    if not words:
        return
    if depth > _NESTING:
        raise Unparsable("it is nested too deeply")
    if not words[0].literal:
        yield UNKNOWN
        return
    name = words[0].text.rpartition("/")[2]
    arguments = words[1:]
    if name == "git":
        arguments = _git_arguments(arguments)
        if any(word.text.startswith(("alias.", "include")) for word in words):
            yield UNKNOWN
    yield (Word(name), *arguments)
    for wrapped in _wrapped(name, arguments, command):
        yield from _started_by(wrapped, depth + 1)


def _wrapped(name: str, arguments: list[Word], command: SimpleCommand) -> Iterator[SimpleCommand]:
    if name in _SHELLS:
        yield from _shell(arguments, command)
    elif name == "eval":
        yield _scripted(arguments)
    elif name == "watch":
        yield _scripted([word for word in arguments if not word.text.startswith("-")])
    elif name in _SCRIPTED:
        yield from _option_script(_SCRIPTED[name], arguments)
    elif name in {"find", "fd"}:
        yield from _find(arguments)
    elif name in {"alias", "parallel", "enable", "hash"}:
        yield SimpleCommand(UNKNOWN)
    elif name in _WRAPPERS:
        rest = _after_options(name, arguments)
        if rest:
            yield SimpleCommand(tuple(rest), command.fed, command.piped)


def _scripted(words: Sequence[Word]) -> SimpleCommand:
    """Words that are read as a command line once more, as `sh -c` would."""
    if not all(word.literal for word in words):
        return SimpleCommand(UNKNOWN)
    return SimpleCommand((Word("sh"), Word("-c"), Word(" ".join(word.text for word in words))))


def _shell(arguments: list[Word], command: SimpleCommand) -> Iterator[SimpleCommand]:
    letters = ""
    rest = list(arguments)
    while rest and rest[0].literal and rest[0].text[:1] in {"-", "+"}:
        option = rest.pop(0).text
        if option in {"--", "-"}:
            break
        if option in {"--rcfile", "--init-file"} or option[-1] in "oO":
            del rest[:1]
        letters += "" if option.startswith("--") else option[1:]
    if "c" in letters:
        yield from _text_of(rest[:1])
    elif rest and not rest[0].literal:
        yield SimpleCommand(UNKNOWN)
    elif not rest or "s" in letters or rest[0].text in _STANDARD_INPUT:
        yield from _fed_to_shell(command)


def _fed_to_shell(command: SimpleCommand) -> Iterator[SimpleCommand]:
    if command.fed is not None:
        yield from parse(command.fed)
    elif command.piped:
        yield SimpleCommand(UNKNOWN)


def _text_of(words: Sequence[Word]) -> Iterator[SimpleCommand]:
    if not words or not words[0].literal:
        yield SimpleCommand(UNKNOWN)
    else:
        yield from parse(words[0].text)


def _option_script(letter: str, arguments: list[Word]) -> Iterator[SimpleCommand]:
    if not letter:
        yield from _text_of(arguments[:1])
        return
    for position, word in enumerate(arguments):
        if word.text == "--command" or (re.fullmatch(r"-\w+", word.text) and word.text.endswith(letter)):
            yield from _text_of(arguments[position + 1 : position + 2])
        elif word.text.startswith("--command="):
            yield SimpleCommand(UNKNOWN)


def _find(arguments: list[Word]) -> Iterator[SimpleCommand]:
    position = 0
    while position < len(arguments):
        if arguments[position].text in {"-exec", "-execdir", "-ok", "-okdir", "-x", "--exec", "-X", "--exec-batch"}:
            end = position + 1
            while end < len(arguments) and arguments[end].text not in {";", "+"}:
                end += 1
            yield SimpleCommand(
                tuple(Word("", literal=False) if word.text == "{}" else word for word in arguments[position + 1 : end])
            )
            position = end
        position += 1


def _after_options(name: str, arguments: list[Word]) -> list[Word]:
    """Words that a wrapper starts; `UNKNOWN` if it is not known whether an option takes a value."""
    wrapper, rest = _WRAPPERS[name], list(arguments)
    while rest and rest[0].text.startswith("-") and rest[0].text != "-":
        option = rest.pop(0)
        if option.text == "--":
            break
        if name == "env" and option.text in {"-S", "--split-string"}:
            return list(_scripted(rest).words)
        if not (option.literal and _is_read(option.text, wrapper, rest)):
            return list(UNKNOWN)
    while name == "env" and rest and _ASSIGNMENT.match(rest[0].text):
        rest.pop(0)
    started = rest[wrapper.operands :]
    # what xargs reads is added behind
    return [*started, Word("", literal=False)] if name == "xargs" and started else started


def _is_read(option: str, wrapper: _Wrapper, rest: list[Word]) -> bool:
    """Take an option and the value it wants from what follows; False: it is not known."""
    if option.startswith("--"):
        return ("=" in option and not option.startswith("--split-string=")) or option in _LONG_FLAGS
    letters = option[1:]
    for position, letter in enumerate(letters):
        if letter in wrapper.valued:
            if position == len(letters) - 1 and rest:
                rest.pop(0)
            return True
        if letter not in wrapper.flags and not letters.isdecimal():
            return False
    return True


def _git_arguments(arguments: list[Word]) -> list[Word]:
    """A git command's words without the options that stand before the command."""
    rest = list(arguments)
    while rest and rest[0].literal and rest[0].text.startswith("-"):
        option = rest.pop(0).text
        if option in _GIT_VALUED or option in {"-c", "--config-env"}:
            del rest[:1]
    return rest
