"""Programs that a command line starts, also through others: shells, `env`, `sudo`, `xargs`, `find -exec` and the like.

Called by `rules`. A program whose name is only known when it runs is given as `UNKNOWN`. What a command line leaves
open is given too: words that an unknown program may start, and commands in a place or a language that is not read.
Files that a program reads (a script, a Makefile, a module) are not looked at: there the sandbox alone holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from phasegate.infra.command_rules.invocation import UNKNOWN, Invocation, is_input, mentioned, unread
from phasegate.infra.command_rules.known_programs import (
    CODE_VARIABLES,
    COMMAND_VARIABLES,
    FILE_VARIABLES,
    GIT_SETTINGS,
    NEVER_READ,
    OTHER_SHELLS,
    SHELL_FILE_VARIABLES,
    SHELLS,
    STARTS_A_SHELL,
    WRAPPERS,
)
from phasegate.infra.command_rules.left_open import git_leaves_open, left_open, split_options
from phasegate.infra.command_rules.shell import parse
from phasegate.infra.command_rules.shell_words import SimpleCommand, Unparsable, Word, require_readable_length
from phasegate.infra.command_rules.wrappers import OPENERS, after_options, read_again

_READERS = frozenset(
    {"awk", "basename", "cat", "cd", "cmp", "cut", "diff", "dirname", "echo", "egrep", "fgrep", "file", "find", "git"}
    | {"grep", "head", "jq", "ls", "nl", "od", "printf", "pwd", "realpath", "rg", "sed", "sha256sum", "sort", "stat"}
    | {"tail", "test", "tr", "tree", "true", "uniq", "wc", "which", "xxd"}
)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=")
_NESTING = 8


_EVALUATING = frozenset(
    {"[", "[[", "declare", "export", "getopts", "let", "local", "mapfile", "printf", "read", "readarray", "readonly"}
    | {"test", "typeset", "unset", "wait", "return", "exit", "set", "shift", "break", "continue", "ulimit"}
)
"""Commands of bash that evaluate the index of an array's element in their words."""
_SUBSTITUTION = re.compile(r"\$\(|`")
_SETTERS = frozenset({"export", "declare", "typeset", "readonly", "local"})
_HARMLESS_VALUES = frozenset({"", "0", "/dev/null"})
_NODE_SETTINGS = re.compile(
    r"(?>\s*+--(?:max|no|trace|unhandled|stack|enable|experimental|test)[\w-]*+(?:=[\w.-]++)?)*+\s*+"
)


def invocations(text: str) -> list[Invocation]:
    """Every program a command line would start, wrappers and what they wrap, and what it leaves open.

    Raises:
        Unparsable: The command line cannot be read with certainty.
    """
    require_readable_length(text)
    line = _Line()
    try:
        parts = list(line.script(text, 0))
    except RecursionError as error:  # `${x:-${x:-…` and other words within each other
        raise Unparsable("it is nested too deeply") from error
    if line.has_login_shell and line.assigned & SHELL_FILE_VARIABLES:
        parts.append(Invocation((Word("sh"),), "unread", "has a shell run a file that a variable names"))
    return parts


def only_reads(text: str) -> bool:
    """True if a command line starts only programs that look at files, and need nothing else."""
    try:
        parts = invocations(text)
    except Unparsable:
        return False
    return all(part.certainty == "started" and part.program[0].text in _READERS for part in parts)


def _may_compute_index(text: str) -> bool:
    """True if a word has a bracket, and behind it what computes a value."""
    opened = text.find("[")
    return opened >= 0 and max(text.rfind("$"), text.rfind("`")) > opened


def _brings_code(name: str, value: str) -> bool:
    """True if a variable's value, or the file it names, may hold commands in a language that is not read."""
    return name.startswith(CODE_VARIABLES) and name != "GIT_CONFIG_NOSYSTEM" and value not in _HARMLESS_VALUES


class _Line:
    """A command line while it is read.

    Attributes:
        assigned: Variables that it sets.
        has_login_shell: True if it starts a shell that runs files of its own first.
    """

    def __init__(self) -> None:
        self.assigned: set[str] = set()
        self.has_login_shell = False

    def script(self, text: str, depth: int) -> Iterator[Invocation]:
        """Programs of a text that a shell reads."""
        for command in parse(text):
            yield from self._command(command, depth)

    def _command(self, command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        if depth > _NESTING:
            raise Unparsable("it is nested too deeply")
        words = list(command.words)
        while words and _ASSIGNMENT.match(words[0].text):
            yield from self._assignment(words.pop(0), depth, starts=len(words) > 0)
        if not words:
            return
        if not words[0].literal:
            yield Invocation(UNKNOWN)
            return
        name, arguments = words[0].text.rpartition("/")[2], words[1:]
        if name.startswith("git-"):
            name, arguments = "git", [Word(name.removeprefix("git-")), *arguments]
        if name == "git":
            options, arguments = split_options(arguments)
            yield from self._git(options, arguments, depth)
        yield Invocation((Word(name), *arguments))
        if any(word.literal and _may_compute_index(word.text) for word in arguments) and name in _EVALUATING:
            yield unread(name, arguments, "evaluates an index that holds a command")
        yield from self._started_by(name, arguments, command, depth)

    def _started_by(self, name: str, arguments: list[Word], command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        if name in OPENERS:
            opened = OPENERS[name](arguments)
            for wrapped in opened:
                yield from self._command(wrapped, depth + 1)
            if name in STARTS_A_SHELL:
                yield from mentioned(arguments, least=1)
                yield from () if opened else self._fed(command, depth)
        elif name in OTHER_SHELLS:
            yield unread(name, arguments, "is a shell whose language is not read")
        elif name in NEVER_READ:
            yield Invocation(UNKNOWN)
        elif name in _READ_HERE:
            yield from _READ_HERE[name](self, name, arguments, command, depth)
        elif name != "git":
            yield from left_open(name, arguments, command)

    def set_variables(
        self, _name: str, arguments: list[Word], _command: SimpleCommand, depth: int
    ) -> Iterator[Invocation]:
        """Variables that a builtin sets."""
        for word in arguments:
            if _ASSIGNMENT.match(word.text):
                yield from self._assignment(word, depth, starts=False)
            elif not word.literal:
                self.assigned |= SHELL_FILE_VARIABLES

    def _assignment(self, word: Word, depth: int, *, starts: bool) -> Iterator[Invocation]:
        """Programs that a variable's value has other programs start.

        Args:
            word: The assignment.
            depth: How deeply the text is nested.
            starts: True if a program gets the variable in its environment.
        """
        name, _, value = word.text.partition("=")
        name = name.removesuffix("+")
        self.assigned.add(name)
        if word.literal and _SUBSTITUTION.search(value):
            yield unread(name, [], "holds a command that may be evaluated")
        if name in COMMAND_VARIABLES:
            yield from self._command(read_again([Word(value, word.literal)]), depth + 1)
        elif name in FILE_VARIABLES or _brings_code(name, value):
            yield unread(name, [], "names commands that other programs run first")
        elif name == "NODE_OPTIONS" and not _NODE_SETTINGS.fullmatch(value):
            yield unread(name, [], "has node run other code first")
        elif starts:
            yield from mentioned([Word(value)], least=2)

    def wrap(self, name: str, arguments: list[Word], command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        """The program that a wrapper starts."""
        wrapper = WRAPPERS[name]
        rest = after_options(name, arguments)
        while name == "env" and rest and _ASSIGNMENT.match(rest[0].text):
            yield from self._assignment(rest.pop(0), depth, starts=True)
        if wrapper.script and rest and rest[0].text in {f"-{wrapper.script}", "--command"}:
            yield from self._text(rest[1:2], depth)
        elif rest and wrapper.joined:
            yield from self._command(read_again(rest), depth + 1)
        elif rest:
            yield from self._command(SimpleCommand(tuple(rest), command.fed, command.piped), depth + 1)
        elif name in STARTS_A_SHELL:
            yield from self._fed(command, depth)

    def _text(self, words: Sequence[Word], depth: int) -> Iterator[Invocation]:
        if not words or not words[0].literal:
            yield Invocation(UNKNOWN)
        else:
            yield from self.script(words[0].text, depth + 1)

    def shell(self, name: str, arguments: list[Word], command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        """Programs that a shell is given by option, file or input."""
        letters, rest = "", list(arguments)
        while rest and rest[0].literal and rest[0].text[:1] in {"-", "+"}:
            option = rest.pop(0).text
            if option in {"--", "-"}:
                break
            if option in {"--version", "--help"}:
                return
            if option in {"--rcfile", "--init-file"}:
                yield unread(name, arguments, "runs a file first")
                del rest[:1]
            elif option.startswith("--"):
                letters += "l" if option == "--login" else ""
            else:
                letters += option[1:]
                values = sum(letter in "oO" for letter in option[1:])
                letters += "".join("i" for word in rest[:values] if word.text == "interactive")
                del rest[:values]
        self.has_login_shell |= bool(set(letters) & {"i", "l"})
        if "c" in letters:
            if name == "zsh" and any(word.text.startswith("=") or " =" in word.text for word in rest[:1]):
                yield Invocation(UNKNOWN)  # zsh's `=git` is the path of git
            yield from self._text(rest[:1], depth)
        elif rest and not rest[0].literal:
            yield Invocation(UNKNOWN)
        elif not rest or "s" in letters or is_input(rest[0].text):
            yield from self._fed(command, depth)
        else:
            yield from mentioned(rest[1:], least=2)

    def _fed(self, command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        """Programs that a shell is handed on its standard input, from wherever that comes."""
        if command.fed is None:
            yield Invocation(UNKNOWN)
        else:
            yield from self.script(command.fed, depth + 1)

    def source(self, name: str, arguments: list[Word], command: SimpleCommand, depth: int) -> Iterator[Invocation]:
        """Commands of a file that the shell reads into itself."""
        if arguments and is_input(arguments[0].text):
            yield from self._fed(command, depth)
        elif arguments and not arguments[0].text.endswith("/bin/activate"):
            yield unread(name, arguments, "runs a file's commands in this shell")

    def _git(self, options: list[Word], arguments: list[Word], depth: int) -> Iterator[Invocation]:
        if any(word.text.lower().startswith(("alias.", "include")) for word in (*options, *arguments)):
            yield Invocation(UNKNOWN)
        for option, value in pairwise([*options, Word("")]):
            setting, _, command = value.text.partition("=")
            if option.text == "-c" and not setting.lower().startswith(GIT_SETTINGS):
                yield from self._command(read_again([Word(command.lstrip("!"), value.literal)]), depth + 1)
            elif option.text.startswith(("--config-env", "--exec-path=")):
                yield unread(
                    "git", [*options, *arguments], "takes its settings or programs from a place that is not read"
                )
        yield from git_leaves_open(arguments)


_Reader = Callable[[_Line, str, list[Word], SimpleCommand, int], Iterator[Invocation]]
_READ_HERE: Mapping[str, _Reader] = {
    **dict.fromkeys(SHELLS, _Line.shell),
    **dict.fromkeys((".", "source"), _Line.source),
    **dict.fromkeys(_SETTERS, _Line.set_variables),
    **dict.fromkeys(WRAPPERS, _Line.wrap),
}
